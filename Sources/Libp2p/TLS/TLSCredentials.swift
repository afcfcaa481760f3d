import NIOCore
import NIOSSL
package import PeerIdentity

/// What a node shows in its TLS handshakes: one certificate, made when the node starts, set up for both roles.
package final class TLSCredentials: Sendable {
    private let context: NIOSSLContext

    /// The name of libp2p among the protocols of ALPN, for peers that do not agree on a muxer there.
    static let libp2p = "libp2p"

    /// - Parameter muxers: The stream muxers to offer in the handshake, best first; empty for no offer.
    package init(identity: KeyPair, muxers: [ProtocolID]) throws(Libp2pError) {
        let certificate = try TLSCertificate(identity: identity)
        do {
            let chain = [
                NIOSSLCertificateSource.certificate(try NIOSSLCertificate(bytes: certificate.bytes, format: .der))
            ]
            let key = NIOSSLPrivateKeySource.privateKey(
                try NIOSSLPrivateKey(bytes: certificate.privateKey, format: .der))
            var configuration = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: key)
            // The peer must send a certificate, which is then for this module to judge: no roots, no names.
            configuration.certificateVerification = .noHostnameVerification
            configuration.trustRoots = .certificates([])
            configuration.minimumTLSVersion = .tlsv13
            configuration.verifySignatureAlgorithms = Self.verifiedAlgorithms
            // inlined-muxer-negotiation: the muxers, then what peers say that negotiate none here.
            configuration.applicationProtocols = muxers.map(\.name) + [Self.libp2p]
            // What is to be said is said before a connection is closed; nobody waits for the peer's farewell.
            configuration.shutdownTimeout = .nanoseconds(1)
            context = try NIOSSLContext(configuration: configuration)
        } catch {
            throw Libp2pError(.internal, "TLS could not be set up.", underlying: error)
        }
    }

    /// The TLS of one connection.
    ///
    /// - Parameters:
    ///   - verify: called once, with the chain of the peer in DER; whether it is good.
    ///   - verified: called after that. The handler goes on in a turn of the loop that it has asked for already.
    func makeHandler(
        _ direction: Connection.Direction, verify: @escaping ([[UInt8]]) -> Bool, verified: @escaping () -> Void
    ) throws -> NIOSSLHandler {
        let callback: NIOSSLCustomVerificationCallback = { chain, promise in
            promise.completeWith(
                Result { verify(try chain.map { try $0.toDERBytes() }) ? .certificateVerified : .failed })
            verified()
        }
        return switch direction {
        case .outbound:
            // Without a host name: a libp2p client sends no server name indication.
            try NIOSSLClientHandler(context: context, serverHostname: nil, customVerificationCallback: callback)
        case .inbound: NIOSSLServerHandler(context: context, customVerificationCallback: callback)
        }
    }

    /// The keys that certificates may have; libp2p peers have one of the first two.
    private static let verifiedAlgorithms: [SignatureAlgorithm] = [
        .ecdsaSecp256R1Sha256, .ed25519, .ecdsaSecp384R1Sha384, .ecdsaSecp521R1Sha512, .rsaPssRsaeSha256,
        .rsaPssRsaeSha384, .rsaPssRsaeSha512,
    ]
}
