import ArgumentParser
import Libp2p
import PeerIdentity

/// How the connections of a run are secured.
enum BenchSecurity: String, CaseIterable, ExpressibleByArgument {
    case tls, noise

    /// Lets a swarm secure its connections in this way alone.
    func narrow(_ configuration: inout SwarmConfiguration) {
        switch self {
        case .tls: configuration.securityProtocols = [.tls]
        case .noise: configuration.securityProtocols = [.noise]
        }
    }

    /// Nanoseconds a byte of the cipher alone, sealing and opening.
    func cipherCosts(region: Int) throws -> (seal: Double, open: Double) {
        switch self {
        case .tls: try Self.tlsCosts(region: region)
        case .noise: try Self.noiseCosts(region: region)
        }
    }

    /// AES-128-GCM of BoringSSL, which TLS uses too, on the longest records there are.
    private static func tlsCosts(region: Int) throws -> (seal: Double, open: Double) {
        let cipher = TLSRecordCipher()
        let source = Region(region)
        let length = TLSRecordCipher.longestPlaintext
        let records = stride(from: 0, to: region, by: length).map {
            UnsafeRawBufferPointer(rebasing: source.bytes[$0..<$0 + length])
        }
        var sealed: [TLSRecordCipher.Sealed] = []
        let seal = try Measurement.nanoseconds { sealed = try records.map(cipher.seal) }
        let open = try Measurement.nanoseconds { for record in sealed { _ = try cipher.open(record) } }
        return (seal / Double(region), open / Double(region))
    }

    /// ChaCha20-Poly1305 as the Noise handler uses it: the longest messages there are, from one buffer to another.
    private static func noiseCosts(region: Int) throws -> (seal: Double, open: Double) {
        let plaintextLength = 65_535 - ChaCha20Poly1305.tagLength
        let count = max(1, region / 65_536)
        let (source, sealed) = (Region(count * 65_536), Region(count * 65_536))
        let key = try (0..<UInt8(ChaCha20Poly1305.keyLength)).map { $0 }.withUnsafeBytes {
            try ChaCha20Poly1305(key: $0)
        }
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        func piece(_ region: Region, _ index: Int, _ length: Int) -> UnsafeMutableRawBufferPointer {
            UnsafeMutableRawBufferPointer(rebasing: region.bytes[index * 65_536..<index * 65_536 + length])
        }
        let seal = try Measurement.nanoseconds {
            for index in 0..<count {
                try key.seal(
                    UnsafeRawBufferPointer(piece(source, index, plaintextLength)), nonce: UInt64(index),
                    additionalData: none, into: piece(sealed, index, 65_535))
            }
        }
        let open = try Measurement.nanoseconds {
            for index in 0..<count {
                try key.open(
                    UnsafeRawBufferPointer(piece(sealed, index, 65_535)), nonce: UInt64(index), additionalData: none,
                    into: piece(source, index, plaintextLength))
            }
        }
        let bytes = Double(count * plaintextLength)
        return (seal / bytes, open / bytes)
    }
}
