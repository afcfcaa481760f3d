import CWire
import CWireFuzz
import Foundation
import TestSupport
import Testing

/// The checks of Tests/Fuzz on random, mutated and truncated messages, and on every input that once failed.
@Suite struct FuzzTargetTests {
    struct Target: Sendable, CustomTestStringConvertible {
        var name: String
        var check: @Sendable (UnsafePointer<UInt8>?, Int) -> UnsafePointer<CChar>?
        /// Well-formed messages to start from.
        var seeds: [[UInt8]]
        var testDescription: String { name }

        /// What did not hold, or nil.
        func failure(_ bytes: [UInt8]) -> String? {
            withExactCopy(bytes) { data, count in check(data, count).map { String(cString: $0) } }
        }
    }

    static let targets: [Target] = [
        Target(
            name: "bitswap", check: { cwire_fuzz_bitswap($0, $1) },
            seeds: [BitswapTests.golden, hex("0a00"), hex("28feffffffffffffffff01")]),
        Target(
            name: "frame", check: { cwire_fuzz_frame($0, $1) }, seeds: VarintTests.vectors.map { hex($0.1) }),
        Target(
            name: "key", check: { cwire_fuzz_key($0, $1) }, seeds: KeyTests.vectors.map { hex($0.1) + hex($0.2) }),
        Target(
            name: "noise_payload", check: { cwire_fuzz_noise_payload($0, $1) }, seeds: [ControlMessageTests.noise]),
        Target(name: "identify", check: { cwire_fuzz_identify($0, $1) }, seeds: [ControlMessageTests.identify]),
        Target(name: "envelope", check: { cwire_fuzz_envelope($0, $1) }, seeds: [ControlMessageTests.envelope]),
        Target(name: "peer_record", check: { cwire_fuzz_peer_record($0, $1) }, seeds: [ControlMessageTests.record]),
    ]

    @Test(arguments: targets) func truncations(target: Target) {
        for seed in target.seeds {
            for cut in 0...seed.count {
                #expect(target.failure(Array(seed[..<cut])) == nil, "cut at \(cut)")
            }
        }
    }

    @Test(arguments: targets) func mutations(target: Target) {
        let seed: UInt64 = 0x5eed
        var generator = SplitMix64(seed: seed)
        for round in 0..<3000 {
            var bytes = target.seeds.randomElement(using: &generator)!
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                Self.mutate(&bytes, using: &generator)
            }
            #expect(target.failure(bytes) == nil, "seed \(seed), round \(round): \(bytes)")
        }
    }

    @Test(arguments: targets) func randomBytes(target: Target) {
        let seed: UInt64 = 0xb17e5
        var generator = SplitMix64(seed: seed)
        for round in 0..<3000 {
            let bytes = generator.bytes(Int.random(in: 0...40, using: &generator))
            #expect(target.failure(bytes) == nil, "seed \(seed), round \(round): \(bytes)")
        }
    }

    /// Generated Bitswap messages: what the façade writes, protobuf-c reads as the same, and the other way round.
    @Test func generatedBitswapMessages() throws {
        let seed: UInt64 = 0xc1d
        var generator = SplitMix64(seed: seed)
        let arena = Arena()
        for round in 0..<500 {
            let form = BitswapForm.random(using: &generator)
            var bytes = try form.encode()
            #expect(arena.decode(bytes) == CWIRE_OK, "seed \(seed), round \(round)")
            #expect(arena.form(of: bytes) == form, "seed \(seed), round \(round)")
            #expect(Self.targets[0].failure(bytes) == nil, "seed \(seed), round \(round)")
            Self.mutate(&bytes, using: &generator)
            #expect(Self.targets[0].failure(bytes) == nil, "seed \(seed), round \(round): \(bytes)")
        }
    }

    /// Tests/Fuzz/FailCases/TARGET/*: inputs that failed once.
    @Test func failCases() throws {
        let directory = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../Fuzz/FailCases").standardized
        var replayed = 0
        for target in Self.targets {
            let cases = directory.appending(path: target.name)
            guard FileManager.default.fileExists(atPath: cases.path()) else { continue }
            for file in try FileManager.default.contentsOfDirectory(at: cases, includingPropertiesForKeys: nil) {
                let bytes = try [UInt8](Data(contentsOf: file))
                #expect(target.failure(bytes) == nil, "\(file.path())")
                replayed += 1
            }
        }
        #expect(replayed > 0)
    }

    /// Changes, inserts, removes or repeats a few bytes, with a liking for the values at which parsers break.
    private static func mutate(_ bytes: inout [UInt8], using generator: inout SplitMix64) {
        let place = Int.random(in: 0...bytes.count, using: &generator)
        let value = [0, 1, 0x7f, 0x80, 0xff, UInt8.random(in: 0...255, using: &generator)]
            .randomElement(using: &generator)!
        switch Int.random(in: 0..<6, using: &generator) {
        case 0 where place < bytes.count: bytes[place] = value
        case 1: bytes.insert(value, at: place)
        case 2 where place < bytes.count: bytes.remove(at: place)
        case 3 where place < bytes.count: bytes[place] ^= 1 << Int.random(in: 0..<8, using: &generator)
        case 4: bytes.insert(contentsOf: bytes[place...].prefix(8), at: place)
        case 5:
            let end = Int.random(in: place...bytes.count, using: &generator)
            bytes.append(contentsOf: bytes[place..<end])
        default: bytes.append(value)
        }
    }
}
