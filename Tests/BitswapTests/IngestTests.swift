import Blockstore
import NIOCore
import Testing

@testable import Bitswap

@Suite struct IngestTests {
    private func arrival(_ text: String) -> Ingest.Arrival {
        Ingest.Arrival(blocks: [block(text)], peer: peer(1)) {}
    }

    private func texts(_ batch: [Ingest.Arrival]?) -> [String]? {
        batch?.flatMap(\.blocks).map { String(buffer: $0.bytes) }
    }

    @Test func theStoreHasTwoBatchesAndWhatComesMeanwhileIsTheNext() {
        let ingest = Ingest()
        #expect(texts(ingest.append(arrival("a"))) == ["a"])
        #expect(texts(ingest.append(arrival("b"))) == ["b"])
        #expect(ingest.append(arrival("c")) == nil)
        #expect(ingest.append(arrival("d")) == nil)
        #expect(texts(ingest.batchEnded()) == ["c", "d"])
        #expect(ingest.append(arrival("e")) == nil)
        #expect(texts(ingest.batchEnded()) == ["e"])
        #expect(ingest.batchEnded() == nil)
        #expect(texts(ingest.append(arrival("f"))) == ["f"])
    }
}
