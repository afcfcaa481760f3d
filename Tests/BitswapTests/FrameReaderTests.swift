import NIOCore
import Testing

@testable import Bitswap

@Suite struct FrameReaderTests {
    private let three: [[UInt8]] = [[1, 2, 3], [], [UInt8](repeating: 7, count: 300)]
    private var bytes: [UInt8] { [3, 1, 2, 3, 0, 0xac, 0x02] + three[2] }

    @Test func messagesCutAnywhereComeOutWhole() throws {
        for cut in 0...bytes.count {
            var reader = FrameReader(maximum: 300)
            var out: [[UInt8]] = []
            for part in [bytes[..<cut], bytes[cut...]] {
                reader.append(ByteBuffer(bytes: part))
                while let frame = try reader.next() { out.append(Array(frame.readableBytesView)) }
            }
            #expect(out == three, "cut at \(cut)")
            #expect(reader.pendingBytes == 0)
        }
    }

    @Test func byteByByte() throws {
        var reader = FrameReader(maximum: 300)
        var out: [[UInt8]] = []
        for byte in bytes {
            reader.append(ByteBuffer(bytes: [byte]))
            while let frame = try reader.next() { out.append(Array(frame.readableBytesView)) }
        }
        #expect(out == three)
    }

    @Test func oneByteTooManyIsRefusedBeforeItComes() throws {
        var reader = FrameReader(maximum: 299)
        reader.append(ByteBuffer(bytes: [0xac, 0x02]))
        #expect(throws: ExchangeError.self) { try reader.next() }
    }

    @Test func aLengthWithoutEndIsRefused() throws {
        var reader = FrameReader(maximum: 300)
        reader.append(ByteBuffer(bytes: [UInt8](repeating: 0x80, count: 8)))
        #expect(try reader.next() == nil)
        reader.append(ByteBuffer(bytes: [0x80]))
        #expect(throws: ExchangeError.self) { try reader.next() }
    }

    @Test func aLengthPastSixtyFourBitsIsRefused() throws {
        var reader = FrameReader(maximum: .max)
        reader.append(ByteBuffer(bytes: [UInt8](repeating: 0xff, count: 12)))
        #expect(throws: ExchangeError.self) { try reader.next() }
    }

    /// What is held for a message of 4 MiB, as it comes in pieces of so many bytes, for each byte that has come.
    @Test(arguments: [(1, 4.0), (1 << 10, 4.0), ((32 << 10) - 1, 4.0), (32 << 10, 16.0), (1 << 20, 4.0)])
    func memoryFollowsWhatHasCome(_ piece: Int, _ most: Double) throws {
        let length = 4 << 20
        var reader = FrameReader(maximum: length)
        let prefix: [UInt8] = [0x80, 0x80, 0x80, 0x02]
        let message = prefix + (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var sizes: Set<Int> = []
        // The first few thousand pieces tell enough of the smallest.
        for start in stride(from: 0, to: min(message.count, 4_096 * piece), by: piece) {
            reader.append(ByteBuffer(bytes: message[start..<min(start + piece, message.count)]))
            guard let frame = try reader.next() else {
                #expect(Double(reader.heldBytes) <= max(64, most * Double(reader.pendingBytes)))
                sizes.insert(reader.heldBytes)
                continue
            }
            #expect(frame.readableBytesView.elementsEqual(message.dropFirst(prefix.count)))
        }
        // What comes fast is not copied again and again.
        if piece >= 32 << 10 { #expect(sizes.count <= 4, "\(sizes)") }
    }

    /// What was handed out is somebody else's: what comes next is not written into it.
    @Test func aMessageStaysAsItWasWhenTheNextComes() throws {
        var reader = FrameReader(maximum: 300)
        reader.append(ByteBuffer(bytes: bytes[..<100]))
        reader.append(ByteBuffer(bytes: bytes[100...] + bytes[..<3]))
        var frames: [ByteBuffer] = []
        while let frame = try reader.next() { frames.append(frame) }
        reader.append(ByteBuffer(bytes: bytes[3...]))
        while let frame = try reader.next() { frames.append(frame) }
        #expect(frames.map { Array($0.readableBytesView) } == three + three)
    }
}
