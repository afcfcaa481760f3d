internal import CBlockstore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension Child {
    /// Holds a transaction open, through the engine itself.
    static func hold(_ path: String, isWriter: Bool) {
        var store: OpaquePointer?
        var transaction: OpaquePointer?
        var status = path.withCString { name in
            var options = cbs_options()
            options.path = name
            options.initial_map_size = 1 << 30
            options.map_limit = 1 << 30
            options.maximum_readers = 100
            return cbs_open(&options, &store)
        }
        if status == CBS_OK {
            status = isWriter ? cbs_write_begin(store, 0, &transaction) : cbs_read_begin(store, &transaction)
        }
        say(status == CBS_OK ? "held" : "error \(status)")
        var byte: UInt8 = 0
        while read(STDIN_FILENO, &byte, 1) > 0 {}
        if status == CBS_OK {
            if isWriter { cbs_write_abort(transaction) } else { cbs_read_end(transaction) }
        }
        cbs_free(store)
        say("released")
    }
}
