/// The limits of this module. Every length that foreign input can influence is held against one of these.
public enum MultiformatsLimits {
    /// Bytes in a digest that is carried in a multihash, whatever its function.
    public static let digestLength = 2_048

    /// Bytes in an identity multihash that is made or verified, as go-verifcid has it. Longer ones are carried only:
    /// an unlimited identity would let anybody pass off data as an address.
    public static let identityDigestLength = 128

    /// The fewest bytes a truncated digest may have to count as proof of what a block holds, as in go-verifcid.
    public static let minimumVerifiableDigestLength = 20

    /// Characters that are decoded in base36 or base58, whose cost grows with the square of the length. The longest
    /// CID in base36 stays below it.
    public static let positionalTextLength = 4_096

    /// Bytes in the binary form of a multiaddr.
    public static let multiaddrLength = 4_096

    /// Characters (in UTF-8) in the text form of a multiaddr.
    public static let multiaddrTextLength = 16_384

    /// Bytes in a domain name of a multiaddr.
    public static let domainNameLength = 255
}
