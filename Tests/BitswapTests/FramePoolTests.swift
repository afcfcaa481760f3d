import NIOCore
import Testing

@testable import Bitswap

@Suite struct FramePoolTests {
    private func address(of buffer: ByteBuffer) -> UInt {
        buffer.withVeryUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    }

    @Test func aBufferThatNobodyHoldsIsUsedAgain() {
        let pool = FramePool()
        var first = pool.take(capacity: 100 << 10)
        let place = address(of: first)
        first.writeString("a message")
        pool.give(first)
        first = ByteBuffer()
        let second = pool.take(capacity: 90 << 10)
        #expect(address(of: second) == place)
        #expect(second.readableBytes == 0)
    }

    @Test func aBufferThatSomebodyStillHoldsIsNot() {
        let pool = FramePool()
        var held = pool.take(capacity: 100 << 10)
        held.writeString("a message")
        pool.give(held)
        var other = pool.take(capacity: 100 << 10)
        other.writeString("something")
        #expect(String(buffer: held) == "a message")
    }

    @Test func notMoreIsKeptThanMayBe() {
        let pool = FramePool()
        let buffers = (0..<8).map { _ in pool.take(capacity: 1 << 20) }
        var places: Set<UInt> = []
        for buffer in buffers {
            places.insert(address(of: buffer))
            pool.give(buffer)
        }
        #expect(places.count == 8)
        #expect(pool.keptBytes <= 4 << 20)
        #expect(pool.keptBytes > 2 << 20)
    }

    @Test func smallAndVeryLargeOnesAreNotKept() {
        let pool = FramePool()
        pool.give(pool.take(capacity: 1_000))
        pool.give(pool.take(capacity: 4 << 20))
        #expect(pool.keptBytes == 0)
    }
}
