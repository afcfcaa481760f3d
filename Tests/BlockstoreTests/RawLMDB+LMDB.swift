internal import CLMDB

/// LMDB without the store's engine: to make files that the store must refuse, and to look into its own.
enum RawLMDB {
    struct Failure: Error {
        let code: CInt
    }

    static func put(_ path: String, database: String?, key: String?, value: [UInt8]) throws {
        try with(path) { transaction in
            var handle: MDB_dbi = 0
            try check(mdb_dbi_open(transaction, database, database == nil ? 0 : UInt32(MDB_CREATE), &handle))
            guard let key else { return }
            try withValue(Array(key.utf8)) { key in
                try withValue(value) { value in try check(mdb_put(transaction, handle, &key, &value, 0)) }
            }
        }
    }

    static func get(_ path: String, database: String?, key: String) throws -> [UInt8]? {
        try with(path) { transaction in
            var handle: MDB_dbi = 0
            try check(mdb_dbi_open(transaction, database, 0, &handle))
            return try withValue(Array(key.utf8)) { key in
                var value = MDB_val()
                let code = mdb_get(transaction, handle, &key, &value)
                if code == MDB_NOTFOUND { return nil }
                try check(code)
                return Array(UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size))
            }
        }
    }

    private static func with<R>(_ path: String, _ body: (OpaquePointer?) throws -> R) throws -> R {
        var environment: OpaquePointer?
        try check(mdb_env_create(&environment))
        defer { mdb_env_close(environment) }
        try check(mdb_env_set_maxdbs(environment, 4))
        try check(mdb_env_open(environment, path, 0, 0o600))
        var transaction: OpaquePointer?
        try check(mdb_txn_begin(environment, nil, 0, &transaction))
        let result = try body(transaction)
        try check(mdb_txn_commit(transaction))
        return result
    }

    private static func withValue<R>(_ bytes: [UInt8], _ body: (inout MDB_val) throws -> R) throws -> R {
        var bytes = bytes
        return try bytes.withUnsafeMutableBytes { raw in
            var value = MDB_val(mv_size: raw.count, mv_data: raw.baseAddress)
            return try body(&value)
        }
    }

    private static func check(_ code: CInt) throws {
        guard code == MDB_SUCCESS else { throw Failure(code: code) }
    }
}
