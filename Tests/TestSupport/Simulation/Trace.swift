import Foundation

/// What happened in a simulation, as one number: two runs with the same number did the same things at the same times.
struct Trace {
    private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    /// When not nil, a line for each event goes there, so that two runs that should be the same can be compared.
    private let file: FileHandle?

    init(path: String?) {
        file = path.flatMap { path in
            _ = FileManager.default.createFile(atPath: path, contents: nil)
            return FileHandle(forWritingAtPath: path)
        }
    }

    enum Event: UInt64 {
        case connected = 1
        case disconnected, written, delivered, lost, reset
    }

    mutating func note(_ event: Event, at time: Int64, _ a: Int, _ b: Int, bytes: Int = 0, content: UInt64 = 0) {
        mix(event.rawValue)
        mix(UInt64(bitPattern: time))
        mix(UInt64(truncatingIfNeeded: a) << 32 | UInt64(truncatingIfNeeded: b))
        mix(UInt64(truncatingIfNeeded: bytes))
        mix(content)
        guard let file else { return }
        file.write(Data("\(time) \(event) \(a) \(b) \(bytes) \(String(content, radix: 16))\n".utf8))
    }

    private mutating func mix(_ word: UInt64) { hash = Self.mixed(hash, word) }

    private static func mixed(_ hash: UInt64, _ word: UInt64) -> UInt64 {
        let product = (hash ^ word) &* 0x9E37_79B9_7F4A_7C15
        return product ^ (product >> 32)
    }

    /// A number for some bytes: their length, their first KiB and their last words. Enough to tell apart what tests make
    /// up, at no cost for large blocks.
    static func sample(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash = UInt64(bytes.count)
        let words = min(bytes.count, 1_024) / 8
        for index in 0..<words { hash = mixed(hash, bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self)) }
        for index in max(8 * words, bytes.count - 64)..<bytes.count { hash = mixed(hash, UInt64(bytes[index])) }
        return hash
    }
}
