import ArgumentParser
import BitswapNode
import Blockstore

struct BlockCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "block", abstract: "Store, fetch, and look at single blocks.",
        subcommands: [BlockPut.self, BlockGet.self, BlockStat.self, BlockRemove.self, BlockList.self])
}

extension CommonOptions {
    /// Opens the repository's store for the time of `body`. A node may have it open at the same time.
    func withStore<R: Sendable>(_ body: (LMDBBlockstore) async throws -> R) async throws -> R {
        let store = try LMDBBlockstore(path: existingRepository.blocksPath)
        let result: R
        do {
            result = try await body(store)
        } catch {
            try? await store.close()
            throw error
        }
        try await store.close()
        return result
    }
}
