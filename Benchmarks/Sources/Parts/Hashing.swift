import Multiformats

let hashingParts: [Part] = [("1 KiB", 1 << 10), ("256 KiB", 256 << 10)].flatMap { (name: String, size: Int) -> [Part] in
    [
        Part("SHA2-256: \(name)") {
            let bytes = pattern(size)
            return Work { keep(try bytes.withUnsafeBytes { try Multihash.hash($0, with: .sha2_256) }) }
        },
        Part("SHA2-256: two of \(name)") {
            let (first, second) = (pattern(size), pattern(size))
            return Work {
                try first.withUnsafeBytes { first in
                    try second.withUnsafeBytes { keep(try Multihash.hash(first, $0, with: .sha2_256)) }
                }
            }
        },
    ]
}

/// Bytes that are not all alike.
func pattern(_ count: Int, salt: Int = 0) -> [UInt8] {
    var state = UInt64(truncatingIfNeeded: salt &+ 1) &* 0x9E37_79B9_7F4A_7C15
    return (0..<count).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state >> 32)
    }
}
