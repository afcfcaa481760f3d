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
}
