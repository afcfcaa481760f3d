import Foundation
import PeerIdentity
import TestSupport
import Testing

@Suite struct KeyPairTests {
    @Test func theKeyOfTheSpecification() throws {
        let pair = try KeyPair(decoding: Vectors.ed25519PrivateKey)
        #expect(pair.publicKey.protobufBytes == Vectors.ed25519PublicKey)
        #expect(pair.peerID.description == Vectors.ed25519PeerID)
        #expect(try pair.protobufBytes() == Vectors.ed25519PrivateKey)
        #expect(try pair.sign(Vectors.message) == Vectors.ed25519Signature)
    }

    @Test func generatedPairsSignAndDiffer() throws {
        let pair = try KeyPair.generate()
        let other = try KeyPair.generate()
        #expect(pair.peerID != other.peerID)
        for message in [[], Vectors.message, [UInt8](repeating: 9, count: 100_000)] {
            let signature = try pair.sign(message)
            #expect(try pair.publicKey.isValid(signature: signature, for: message))
            #expect(try !other.publicKey.isValid(signature: signature, for: message))
        }
        #expect(try KeyPair(decoding: pair.protobufBytes()).peerID == pair.peerID)
    }

    @Test func aSeedIsAlwaysTheSamePair() throws {
        let seed = Array(Vectors.ed25519PrivateKey[4..<36])
        #expect(try KeyPair(seed: seed).peerID.description == Vectors.ed25519PeerID)
        expectError(.invalidPrivateKey) { _ = try KeyPair(seed: Array(seed.dropLast())) }
    }

    @Test func theOlderFormHoldsThePublicKeyTwice() throws {
        let data = Array(Vectors.ed25519PrivateKey.dropFirst(4))
        let publicKey = Array(data.suffix(32))
        let older = try KeyPair(decoding: [8, 1, 0x12, 96] + data + publicKey)
        #expect(try older.protobufBytes() == Vectors.ed25519PrivateKey)
        // Either public key may be the wrong one.
        for index in [4 + 32, 4 + 64] {
            var damaged = [8, 1, 0x12, 96] + data + publicKey
            damaged[index] ^= 1
            expectError(.invalidPrivateKey) { _ = try KeyPair(decoding: damaged) }
        }
    }

    @Test func bytesOfNoKeyAreErrors() throws {
        expectError(.unsupportedKey) { _ = try KeyPair(decoding: Vectors.ecdsaPrivateKey) }
        expectError(.invalidPrivateKey) { _ = try KeyPair(decoding: []) }
        expectError(.invalidPrivateKey) { _ = try KeyPair(decoding: Vectors.ed25519PublicKey) }
        for count in 0..<Vectors.ed25519PrivateKey.count {
            expectError(.invalidPrivateKey) {
                _ = try KeyPair(decoding: Array(Vectors.ed25519PrivateKey.prefix(count)))
            }
        }
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        for _ in 0..<1000 {
            let bytes = random.mutated(Vectors.ed25519PrivateKey)
            guard let pair = try? KeyPair(decoding: bytes) else { continue }
            #expect(pair.peerID.description == Vectors.ed25519PeerID, "seed \(seed)")
        }
    }
}

@Suite struct KeyFileTests {
    private func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return try #require(attributes[.posixPermissions] as? Int)
    }

    @Test func storesForItsOwnerAloneAndLoads() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/identity.key"
            let pair = try KeyPair.generate()
            try pair.store(to: path)
            #expect(try mode(path) == 0o600)
            #expect(try KeyPair.load(from: path).peerID == pair.peerID)
            #expect(try Array(Data(contentsOf: URL(fileURLWithPath: path))) == pair.protobufBytes())
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["identity.key"])
        }
    }

    @Test func neverOverwrites() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/identity.key"
            let first = try KeyPair.generate()
            try first.store(to: path)
            let error = expectError(.fileExists) { try KeyPair.generate().store(to: path) }
            #expect(error?.message.contains(path) == true)
            #expect(try KeyPair.load(from: path).peerID == first.peerID)
            // Nor what a link points to, though it is not there.
            let link = directory + "/link.key"
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: directory + "/nowhere")
            expectError(.fileExists) { try first.store(to: link) }
            #expect(
                try Set(FileManager.default.contentsOfDirectory(atPath: directory)) == ["identity.key", "link.key"])
        }
    }

    @Test(arguments: [0o640, 0o604, 0o644, 0o620, 0o601, 0o666, 0o777]) func refusesAFileOthersCanUse(mode: Int) throws
    {
        try withTemporaryDirectory { directory in
            let path = directory + "/identity.key"
            try KeyPair.generate().store(to: path)
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
            let error = expectError(.filePermissions) { _ = try KeyPair.load(from: path) }
            #expect(error?.message.contains("chmod 600 \(path)") == true)
            #expect(error?.message.contains(String(mode, radix: 8)) == true)
            try FileManager.default.setAttributes([.posixPermissions: 0o400], ofItemAtPath: path)
            #expect(throws: Never.self) { try KeyPair.load(from: path) }
        }
    }

    @Test func everythingElseAtThePathIsAnErrorThatNamesIt() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/identity.key"
            #expect(expectError(.fileNotFound) { _ = try KeyPair.load(from: path) }?.message.contains(path) == true)
            #expect(
                expectError(.fileAccess) { _ = try KeyPair.load(from: directory) }?.message.contains(directory) == true)
            expectError(.fileAccess) { try KeyPair.generate().store(to: directory + "/missing/identity.key") }

            let sizes = [0, 1, 67, 69, IdentityLimits.keyFileBytes, IdentityLimits.keyFileBytes + 1]
            for (index, size) in sizes.enumerated() {
                let file = directory + "/\(index).key"
                try Data(repeating: 8, count: size).write(to: URL(fileURLWithPath: file))
                try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file)
                let error = expectError(.invalidPrivateKey) { _ = try KeyPair.load(from: file) }
                #expect(error?.message.contains(file) == true)
            }
            #expect(mkfifo(directory + "/pipe", 0o600) == 0)
            expectError(.fileAccess) { _ = try KeyPair.load(from: directory + "/pipe") }
        }
    }
}
