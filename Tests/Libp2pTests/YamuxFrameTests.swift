import NIOCore
import TestSupport
import Testing

@testable import Libp2p

@Suite struct YamuxFrameTests {
    /// Laid out by hand from the specification: version, type, flags, stream, length, all big endian.
    static let golden: [(YamuxHeader, [UInt8])] = [
        (YamuxHeader(.data, streamID: 1, value: 5), [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5]),
        (YamuxHeader(.windowUpdate, .syn, streamID: 3), [0, 1, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0]),
        (YamuxHeader(.windowUpdate, .ack, streamID: 2, value: 0x40000), [0, 1, 0, 2, 0, 0, 0, 2, 0, 4, 0, 0]),
        (YamuxHeader(.windowUpdate, .fin, streamID: 258), [0, 1, 0, 4, 0, 0, 1, 2, 0, 0, 0, 0]),
        (YamuxHeader(.windowUpdate, .rst, streamID: .max), [0, 1, 0, 8, 255, 255, 255, 255, 0, 0, 0, 0]),
        (YamuxHeader(.data, [.syn, .fin], streamID: 5, value: .max), [0, 0, 0, 5, 0, 0, 0, 5, 255, 255, 255, 255]),
        (YamuxHeader(.ping, .syn, value: 0x0102_0304), [0, 2, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]),
        (YamuxHeader(.ping, .ack, value: 7), [0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7]),
        (YamuxHeader(.goAway, value: 2), [0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]),
    ]

    @Test func headersAreByteForByte() {
        for (header, bytes) in Self.golden {
            var buffer = ByteBuffer()
            header.write(to: &buffer)
            #expect(Array(buffer.readableBytesView) == bytes)
            #expect(YamuxHeader.read(from: &buffer) == .success(header))
        }
    }

    @Test func unknownVersionAndTypeEndTheConnection() {
        for bytes: [UInt8] in [
            [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], [0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
        ] {
            var decoder = YamuxFrameDecoder()
            var buffer = ByteBuffer(bytes: bytes)
            guard case .failure(let failure) = decoder.next(from: &buffer) else {
                Issue.record("\(bytes) was taken")
                continue
            }
            #expect(failure.goAway == .protocolError)
            // It stays failed.
            buffer.writeRepeatingByte(0, count: 12)
            #expect(decoder.next(from: &buffer) == .failure(failure))
        }
    }

    @Test func partsOfAPayloadComeAsTheyArrive() {
        var decoder = YamuxFrameDecoder()
        var first = ByteBuffer(bytes: [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 1, 2])
        #expect(decoder.next(from: &first) == .header(YamuxHeader(.data, streamID: 1, value: 5)))
        #expect(decoder.next(from: &first) == .payload(ByteBuffer(bytes: [1, 2]), isLast: false))
        #expect(decoder.next(from: &first) == nil)
        var second = ByteBuffer(bytes: [3, 4, 5, 0, 2])
        #expect(decoder.next(from: &second) == .payload(ByteBuffer(bytes: [3, 4, 5]), isLast: true))
        #expect(decoder.next(from: &second) == nil)
        var third = ByteBuffer(bytes: [0, 1, 0, 0, 0, 0, 0, 0, 0, 9])
        #expect(decoder.next(from: &third) == .header(YamuxHeader(.ping, .syn, value: 9)))
    }

    @Test func aPayloadIsASliceAndNoCopy() {
        var bytes = ByteBuffer(bytes: [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x80, 0])
        bytes.writeRepeatingByte(7, count: 0x8000)
        let address = bytes.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
        var decoder = YamuxFrameDecoder()
        _ = decoder.next(from: &bytes)
        guard case .payload(let payload, true) = decoder.next(from: &bytes) else {
            Issue.record("no payload")
            return
        }
        #expect(payload.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) } == address + 12)
    }

    /// However the bytes are cut, the same headers and payloads come out.
    @Test func everyCutGivesTheSameFrames() {
        var stream = ByteBuffer()
        for (header, _) in Self.golden where header.kind != .data { header.write(to: &stream) }
        YamuxHeader(.data, .fin, streamID: 9, value: 20).write(to: &stream)
        stream.writeRepeatingByte(3, count: 20)
        YamuxHeader(.data, streamID: 9, value: 0).write(to: &stream)
        YamuxHeader(.ping, .ack, value: 1).write(to: &stream)

        func decode(cuts: [Int]) -> (headers: [YamuxHeader], payload: Int, lasts: Int) {
            var decoder = YamuxFrameDecoder()
            var rest = stream
            var result: (headers: [YamuxHeader], payload: Int, lasts: Int) = ([], 0, 0)
            for cut in cuts + [Int.max] {
                guard var chunk = rest.readSlice(length: min(cut, rest.readableBytes)) else { continue }
                while let part = decoder.next(from: &chunk) {
                    switch part {
                    case .header(let header): result.headers.append(header)
                    case .payload(let bytes, let isLast):
                        result.payload += bytes.readableBytes
                        if isLast { result.lasts += 1 }
                    case .failure(let failure): Issue.record("\(failure)")
                    }
                }
                #expect(chunk.readableBytes == 0)
            }
            return result
        }

        let whole = decode(cuts: [])
        #expect(whole.headers.count == 10)
        #expect(whole.payload == 20)
        for cut in 0...stream.readableBytes {
            let parts = decode(cuts: [cut])
            #expect(parts.headers == whole.headers && parts.payload == 20 && parts.lasts == 1)
        }
        var generator = SplitMix64(seed: 3)
        for _ in 0..<300 {
            let parts = decode(cuts: (0..<60).map { _ in Int.random(in: 0...7, using: &generator) })
            #expect(parts.headers == whole.headers && parts.payload == 20 && parts.lasts == 1)
        }
    }
}
