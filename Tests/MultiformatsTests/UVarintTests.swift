import Multiformats
import TestSupport
import Testing

@Suite struct UVarintTests {
    @Test(
        arguments: [
            (0, "00"), (1, "01"), (0x7f, "7f"), (0x80, "8001"), (0xff, "ff01"), (0x12c, "ac02"), (0x4000, "808001"),
            (UInt64(Int64.max), "ffffffffffffffff7f"),
        ] as [(UInt64, String)])
    func vectors(value: UInt64, hex: String) throws {
        let bytes = [UInt8](hex: hex)
        #expect(UVarint.encode(value) == bytes)
        #expect(UVarint.encodedLength(value) == bytes.count)
        let decoded = try UVarint.decode(bytes + [0xff])
        #expect(decoded.value == value)
        #expect(decoded.length == bytes.count)
    }

    @Test func roundTrips() throws {
        var random = SplitMix64(seed: 1)
        for shift in 1...63 {
            for value in [1 << (shift - 1), (1 << shift) - 1, random.next() >> UInt64(64 - shift)] as [UInt64] {
                let bytes = UVarint.encode(value)
                #expect(bytes.count == UVarint.encodedLength(value))
                #expect(try UVarint.decode(bytes).value == value)
            }
        }
    }

    @Test(arguments: ["8000", "8100", "ff8000", "ffffffffffffffff00"])
    func longerThanNeeded(hex: String) {
        #expect(errorCode { () throws(MultiformatsError) in try UVarint.decode([UInt8](hex: hex)) } == .invalidVarint)
    }

    @Test func nineBytesAreTheLimit() throws {
        let longest = [UInt8](repeating: 0xff, count: 8) + [0x7f]
        #expect(longest.count == UVarint.maximumLength)
        #expect(try UVarint.decode(longest).value == UVarint.maximumValue)
        let tooLong = [UInt8](repeating: 0xff, count: 9) + [0x01]
        #expect(errorCode { () throws(MultiformatsError) in try UVarint.decode(tooLong) } == .invalidVarint)
        // Nine bytes say already that it cannot become a varint any more.
        #expect(
            errorCode { () throws(MultiformatsError) in try UVarint.decode(Array(tooLong.prefix(9))) } == .invalidVarint
        )
    }

    @Test func truncations() {
        for count in 0...8 {
            let bytes = [UInt8](repeating: 0x80, count: count)
            #expect(errorCode { () throws(MultiformatsError) in try UVarint.decode(bytes) } == .truncated)
        }
    }

    @Test func valuesBeyondTheLimitHaveTenBytesThatNobodyReads() {
        for value in [1 << 63, UInt64.max] as [UInt64] {
            let bytes = UVarint.encode(value)
            #expect(bytes.count == 10)
            #expect(UVarint.encodedLength(value) == 10)
            #expect(errorCode { () throws(MultiformatsError) in try UVarint.decode(bytes) } == .invalidVarint)
        }
    }
}
