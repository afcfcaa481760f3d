import Crypto
import TestSupport
import Testing

@testable import Multiformats

/// The kernel against swift-crypto. On a processor without SHA instructions there is nothing to test.
@Suite(.enabled(if: SHA256Kernel.isAvailable)) struct SHA256KernelTests {
    private func expected(_ bytes: UnsafeRawBufferPointer) -> Multihash {
        var function = SHA256()
        function.update(bufferPointer: bytes)
        return function.finalize().withUnsafeBytes { Multihash(unchecked: .sha2_256, digest: $0) }
    }

    private func check(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) {
        #expect(SHA256Kernel.hash(first) == expected(first))
        let both = SHA256Kernel.hash(first, second)
        #expect(both.0 == expected(first))
        #expect(both.1 == expected(second))
    }

    @Test func everyLengthUpTo1024() {
        var generator = SplitMix64(seed: 1)
        for length in 0...1_024 {
            generator.bytes(length).withUnsafeBytes { first in
                generator.bytes(1_024 - length).withUnsafeBytes { check(first, $0) }
            }
        }
    }

    /// Both inputs at every distance from a word, and from a vector.
    @Test(arguments: [0, 1, 55, 64, 200]) func everyAlignment(length: Int) {
        var generator = SplitMix64(seed: UInt64(length))
        generator.bytes(2 * (length + 16)).withUnsafeBytes { bytes in
            for first in 0..<16 {
                for second in 0..<16 {
                    let start = length + 16 + second
                    check(
                        UnsafeRawBufferPointer(rebasing: bytes[first..<first + length]),
                        UnsafeRawBufferPointer(rebasing: bytes[start..<start + length]))
                }
            }
        }
    }

    @Test(arguments: 0..<64) func randomLengthsAtRandomPlaces(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let bytes = generator.bytes(20_000)
        func place() -> Range<Int> {
            let start = Int.random(in: 0...bytes.count, using: &generator)
            return start..<Int.random(in: start...bytes.count, using: &generator)
        }
        let (first, second) = (place(), place())
        // Where they lie in the one buffer, and not copied to a place that is aligned.
        bytes.withUnsafeBytes {
            check(UnsafeRawBufferPointer(rebasing: $0[first]), UnsafeRawBufferPointer(rebasing: $0[second]))
        }
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
