import Testing

@testable import Bitswap

@Suite struct LimitsTests {
    @Test func theCeilingIsTheSumOfItsPartsAndCanBeMoved() {
        #expect(BitswapLimits().memory == 256 << 20)
        for memory in [32 << 20, 100 << 20, 1 << 30] {
            let limits = BitswapLimits(memory: memory)
            #expect((memory - 5...memory).contains(limits.memory))
            #expect(limits.outstandingBytesPerPeer <= limits.outstandingBytes / 8)
        }
        #expect(BitswapLimits(memory: 0) == BitswapLimits(memory: 32 << 20))
    }

    @Test func windowsShrinkToWhatMayComeIn() {
        var limits = BitswapLimits()
        limits.shrinkWindows(to: BandwidthLimits(upload: 10))
        #expect(limits == BitswapLimits())
        limits.shrinkWindows(to: BandwidthLimits(download: 800_000, downloadPerPeer: 80_000))
        #expect(limits.requestWindow == 20_000 && limits.initialRequestWindow == 10_000)
    }
}
