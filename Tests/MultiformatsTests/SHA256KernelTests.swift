import Crypto
import TestSupport
import Testing

@testable import Multiformats

/// The kernel against swift-crypto. On a processor without SHA instructions there is nothing to test.
@Suite(.enabled(if: SHA256Kernel.isAvailable)) struct SHA256KernelTests {
    private func expected(_ bytes: [UInt8]) -> Multihash {
        bytes.withUnsafeBytes { bytes in
            var function = SHA256()
            function.update(bufferPointer: bytes)
            return function.finalize().withUnsafeBytes { Multihash(unchecked: .sha2_256, digest: $0) }
        }
    }

    private func check(_ first: [UInt8], _ second: [UInt8]) {
        first.withUnsafeBytes { a in
            second.withUnsafeBytes { b in
                #expect(SHA256Kernel.hash(a) == expected(first))
                let both = SHA256Kernel.hash(a, b)
                #expect(both.0 == expected(first))
                #expect(both.1 == expected(second))
            }
        }
    }

    @Test func everyLengthUpTo1024() {
        var generator = SplitMix64(seed: 1)
        for length in 0...1_024 {
            check(generator.bytes(length), generator.bytes(1_024 - length))
        }
    }

    @Test(arguments: 0..<64) func randomLengthsAtRandomPlaces(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let bytes = generator.bytes(20_000)
        func piece() -> [UInt8] {
            let start = Int.random(in: 0...bytes.count, using: &generator)
            return Array(bytes[start..<Int.random(in: start...bytes.count, using: &generator)])
        }
        check(piece(), piece())
    }

    @Test func twoAtOnceOfAnyFunction() throws {
        for code in [Multihash.Code.sha2_256, .sha2_512, .sha3_256, .blake2b256] {
            try Array("one".utf8).withUnsafeBytes { one in
                try Array("another".utf8).withUnsafeBytes { other in
                    let both = try Multihash.hash(one, other, with: code)
                    #expect(both.0 == (try Multihash.hash(one, with: code)))
                    #expect(both.1 == (try Multihash.hash(other, with: code)))
                }
            }
        }
    }
}
