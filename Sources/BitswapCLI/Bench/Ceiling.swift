/// What the parts of a block's way cost by themselves on this machine, in nanoseconds a byte, at one block size.
struct PrimitiveCosts: Equatable {
    /// From one buffer to another.
    var memoryCopy: Double
    /// A thread's time in `write` and in `read`, for 64 KiB at a time through a TCP connection on loopback.
    var socketSend: Double
    var socketReceive: Double
    /// The cipher of the connection, on pieces as large as it takes them: Noise's as the handler calls it, that of TLS by
    /// swift-crypto, which allocates for each record and so costs more than inside BoringSSL.
    var seal: Double
    var open: Double
    /// SHA2-256, two blocks at a time.
    var hash: Double
    /// Look-up and one copy out of the store, in batches, on pages that are in memory.
    var storeRead: Double
    /// Storing blocks that were not there, in batches and two of them at a time, as durably as the store of the run does
    /// it. This is the time that passes, with the waiting for the disk.
    var storeWrite: Double

    /// The least that a byte can cost the side that serves, and the side that fetches.
    var server: Double { storeRead + seal + socketSend }
    var client: Double { socketReceive + open + hash + storeWrite }

    /// The ceiling in bytes a second of one connection, were there nothing but these parts.
    ///
    /// The parts of one side come one after the other for every byte, and the two sides work side by side when they have a
    /// processor each: the slower of them is what a run is measured by. On one processor both share it. Not in the model
    /// are messages, frames, wantlists and wake-ups (they are what there is to lose), nor that one side may spread its
    /// parts over several processors: with more than two, a good program comes out above 1.
    func ceiling(processors: Int) -> Double {
        1e9 / (processors > 1 ? max(server, client) : server + client)
    }
}
