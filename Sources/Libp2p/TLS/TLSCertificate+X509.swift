import Crypto
package import PeerIdentity
import SwiftASN1
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The certificate of libp2p TLS as bytes: self-signed by a key of its own, which the node's identity vouches for in an
/// extension. Made here, and checked here; knows no connection and no clock.
///
/// [libp2p TLS](https://github.com/libp2p/specs/blob/master/tls/tls.md#peer-authentication).
package struct TLSCertificate: Sendable {
    /// The certificate, DER.
    package let bytes: [UInt8]
    /// The private key it was signed with, DER (PKCS #8). It is not the identity's, and lives as long as the process.
    package let privateKey: [UInt8]

    /// 1975 to 4096, in seconds since 1970.
    private static let validity = 157_766_400.0...67_090_118_400.0

    /// A new key and a certificate for it in the name of `identity`.
    ///
    /// Its dates span all times, as those of other implementations do: the identity signs the key and no dates, so an end
    /// would protect nobody, and no clock that is wrong keeps peers apart.
    package init(identity: KeyPair) throws(Libp2pError) {
        let key = P256.Signing.PrivateKey()
        let keyInfo = [UInt8](key.publicKey.derRepresentation)
        do {
            let name = try DistinguishedName { OrganizationName("libp2p.io") }
            let signedKey = SignedKey(
                publicKey: identity.publicKey.protobufBytes,
                signature: try identity.sign(Self.statement(keyInfo: keyInfo[...])))
            let certificate = try Certificate(
                version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key.publicKey),
                notValidBefore: Date(timeIntervalSince1970: Self.validity.lowerBound),
                notValidAfter: Date(timeIntervalSince1970: Self.validity.upperBound), issuer: name,
                subject: name, signatureAlgorithm: .ecdsaWithSHA256,
                extensions: Certificate.Extensions([
                    Certificate.Extension(
                        oid: SignedKey.identifier, critical: false, value: try Self.encoded(signedKey)[...])
                ]), issuerPrivateKey: .init(key))
            bytes = try Self.encoded(certificate)
        } catch {
            throw Libp2pError(.internal, "The certificate for TLS could not be made.", underlying: error)
        }
        privateKey = [UInt8](key.derRepresentation)
    }

    /// The identity that the chain a peer has sent proves, by every rule of the specification.
    ///
    /// That the peer holds the key of the certificate is for TLS to check. Throws ``Libp2pError/Code/handshakeFailed``,
    /// and ``Libp2pError/Code/limitReached`` for a certificate that is too long.
    ///
    /// - Parameter now: in seconds since 1970.
    package static func verifiedIdentity(
        chain: [[UInt8]], now: Int64, limits: TLSLimits = TLSLimits()
    ) throws(Libp2pError) -> PublicKey {
        guard chain.count == 1 else { throw .tls("sent \(chain.count) certificates, where it is one") }
        let bytes = chain[0]
        guard bytes.count <= limits.certificateBytes else {
            throw Libp2pError(
                .limitReached,
                "The peer's TLS certificate has \(bytes.count) bytes; at most \(limits.certificateBytes) are read.",
                limit: .tls(.certificateBytes))
        }
        let root: ASN1Node
        let certificate: Certificate
        do {
            root = try DER.parse(bytes)
            certificate = try Certificate(derEncoded: root)
        } catch {
            // The text can hold what the peer wrote.
            throw .tls("is malformed: \(String(describing: error).prefix(200))")
        }
        guard certificate.version == .v3 else { throw .tls("is not of version 3") }
        let keyInfo = try keyInfo(in: root)
        let time = Date(timeIntervalSince1970: Double(now))
        guard certificate.notValidBefore <= time else { throw .tls("is not valid yet; is the clock right?") }
        guard time <= certificate.notValidAfter else { throw .tls("has expired; is the clock right?") }
        let signedKey = try signedKey(in: certificate)
        guard certificate.publicKey.isValidSignature(certificate.signature, for: certificate) else {
            throw .tls("is not signed by its own key")
        }
        let key: PublicKey
        let isValid: Bool
        do {
            key = try PublicKey(decoding: signedKey.publicKey)
            isValid = try key.isValid(signature: signedKey.signature, for: statement(keyInfo: keyInfo))
        } catch {
            throw Libp2pError(
                .handshakeFailed, "The peer's identity cannot be verified: \(error.message)", underlying: error)
        }
        guard isValid else {
            throw Libp2pError(
                .handshakeFailed,
                "The peer says it is \(PeerID(publicKey: key)), but its signature of the TLS key does not prove it.")
        }
        return key
    }

    /// The `SubjectPublicKeyInfo` of a certificate of version 3 as it stands there: the field after version, serial
    /// number, algorithm, issuer, validity and subject. Checks on the way what X509 leaves unchecked.
    private static func keyInfo(in root: ASN1Node) throws(Libp2pError) -> ArraySlice<UInt8> {
        guard case .constructed(let nodes) = root.content else { throw .tls("is malformed") }
        let parts = Array(nodes)
        guard parts.count == 3, case .constructed(let nodes) = parts[0].content else { throw .tls("is malformed") }
        let fields = Array(nodes)
        guard fields.count > 6 else { throw .tls("is malformed") }
        guard fields[2].encodedBytes == parts[1].encodedBytes else {
            throw .tls("names two algorithms for its signature")
        }
        guard case .primitive(let signature) = parts[2].content, signature.first == 0 else {
            throw .tls("has a signature of no whole bytes")
        }
        // Nothing but extensions comes after it: issuerUniqueID and subjectUniqueID must not be there.
        let extensions = ASN1Identifier(tagWithNumber: 3, tagClass: .contextSpecific)
        guard fields.dropFirst(7).allSatisfy({ $0.identifier == extensions }) else {
            throw .tls("has a unique ID of its issuer or subject, which libp2p does not allow")
        }
        return fields[6].encodedBytes
    }

    /// What the one extension of libp2p says; that it is there once, X509 has made sure of. No other may be critical.
    private static func signedKey(in certificate: Certificate) throws(Libp2pError) -> SignedKey {
        var found: SignedKey?
        for item in certificate.extensions {
            guard item.oid == SignedKey.identifier else {
                guard !item.critical else { throw .tls("has a critical extension that is not known here: \(item.oid)") }
                continue
            }
            do {
                found = try SignedKey(derEncoded: item.value)
            } catch {
                throw .tls("has a malformed extension of libp2p")
            }
        }
        guard let found else { throw .tls("lacks the extension of libp2p, which says who the peer is") }
        return found
    }

    /// What an identity signs to vouch for the key of a certificate.
    private static func statement(keyInfo: ArraySlice<UInt8>) -> [UInt8] {
        Array("libp2p-tls-handshake:".utf8) + keyInfo
    }

    private static func encoded(_ value: some DERSerializable) throws -> [UInt8] {
        var serializer = DER.Serializer()
        try serializer.serialize(value)
        return serializer.serializedBytes
    }
}

/// `SignedKey`: the identity and its signature.
private struct SignedKey: DERImplicitlyTaggable {
    /// An encoded `PublicKey` message.
    var publicKey: [UInt8]
    var signature: [UInt8]

    static let identifier: ASN1ObjectIdentifier = [1, 3, 6, 1, 4, 1, 53594, 1, 1]
    static var defaultIdentifier: ASN1Identifier { .sequence }

    init(publicKey: [UInt8], signature: [UInt8]) {
        self.publicKey = publicKey
        self.signature = signature
    }

    init(derEncoded rootNode: ASN1Node, withIdentifier identifier: ASN1Identifier) throws {
        self = try DER.sequence(rootNode, identifier: identifier) { nodes in
            let publicKey = try ASN1OctetString(derEncoded: &nodes)
            let signature = try ASN1OctetString(derEncoded: &nodes)
            return SignedKey(publicKey: [UInt8](publicKey.bytes), signature: [UInt8](signature.bytes))
        }
    }

    func serialize(into coder: inout DER.Serializer, withIdentifier identifier: ASN1Identifier) throws {
        try coder.appendConstructedNode(identifier: identifier) { coder in
            try coder.serialize(ASN1OctetString(contentBytes: publicKey[...]))
            try coder.serialize(ASN1OctetString(contentBytes: signature[...]))
        }
    }
}

extension Libp2pError {
    fileprivate static func tls(_ problem: String) -> Libp2pError {
        Libp2pError(.handshakeFailed, "The peer's TLS certificate \(problem).")
    }
}
