// A package of its own that depends on this one: it opens a node, stores a block and reads it back.
import BitswapNode

guard CommandLine.arguments.count == 2 else {
    print("usage: Consumer DIRECTORY")
    throw CancellationError()
}
let text = "Hello Bitswap from Rust Helia"

let node = try BitswapNode(repository: Repository(path: CommandLine.arguments[1]))
let serving = Task { try await node.run() }

let cid = try await node.blocks.put(text)
let block = try await node.blocks.get(cid)
print("\(node.id) stored and read \(block.bytes.readableBytes) bytes as \(cid)")

serving.cancel()
try await serving.value

guard cid.description == "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq",
    block.bytes.readableBytesView.elementsEqual(text.utf8)
else {
    print("the block is not what was stored")
    throw CancellationError()
}
