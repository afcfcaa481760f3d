import ArgumentParser
import Bitswap
import BitswapNode

/// What `serve` may take of the line and of the memory.
struct ResourceOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Bytes a second that all peers together are sent, such as 10MB.", valueName: "bytes"))
    var upload: BytesArgument?

    @Option(help: ArgumentHelp("Bytes a second that each peer is sent.", valueName: "bytes"))
    var uploadPerPeer: BytesArgument?

    @Option(help: ArgumentHelp("Bytes a second that are taken from all peers together.", valueName: "bytes"))
    var download: BytesArgument?

    @Option(help: ArgumentHelp("Bytes a second that are taken from each peer.", valueName: "bytes"))
    var downloadPerPeer: BytesArgument?

    @Option(
        help: ArgumentHelp(
            "Memory that peers can make the exchange of blocks take, whatever they do, at least 32MiB. (default: 256MiB)",
            valueName: "bytes"))
    var exchangeMemory: BytesArgument?

    private static let leastMemory = 32 << 20

    func validate() throws {
        let rates = [
            ("--upload", upload), ("--upload-per-peer", uploadPerPeer), ("--download", download),
            ("--download-per-peer", downloadPerPeer),
        ]
        for case (let name, let rate?) in rates where try rate.value() == 0 {
            throw ValidationError("\(name) 0 would let nothing through; leave it out for no limit")
        }
        if let memory = try exchangeMemory?.value(), memory < Self.leastMemory {
            throw ValidationError(
                "--exchange-memory \(exchangeMemory?.text ?? "") is too little; at least \(Quantity.bytes(Self.leastMemory)) "
                    + "are needed")
        }
    }

    func apply(to configuration: inout Exchange.Configuration) throws {
        configuration.bandwidth = BandwidthLimits(
            upload: try upload?.value(), uploadPerPeer: try uploadPerPeer?.value(), download: try download?.value(),
            downloadPerPeer: try downloadPerPeer?.value())
        if let memory = try exchangeMemory?.value() { configuration.limits = BitswapLimits(memory: memory) }
    }
}
