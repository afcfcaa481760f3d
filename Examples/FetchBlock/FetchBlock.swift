import BitswapNode
import Blockstore
import Multiformats
import NIOCore

// One node keeps a block, another one fetches it: swift run FetchBlock
@main
struct FetchBlock {
    static func main() async throws {
        var listening = BitswapNode.Configuration()
        listening.listen = [try Multiaddr("/ip4/127.0.0.1/tcp/0")]
        // Nodes that are to last have a directory instead: BitswapNode(repository: Repository(path: "…")).
        let one = try BitswapNode(identity: .generate(), store: MemoryBlockstore(), configuration: listening)
        let two = try BitswapNode(identity: .generate(), store: MemoryBlockstore())

        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await one.run() }
            group.addTask { try await two.run() }

            let cid = try await one.blocks.put("Hello Bitswap from Rust Helia")
            _ = try await two.swarm.connect(to: one.addresses[0])
            let block = try await two.blocks.get(cid, timeout: .seconds(10))

            print("\(cid): \(String(buffer: block.bytes))")
            group.cancelAll()
        }
    }
}
