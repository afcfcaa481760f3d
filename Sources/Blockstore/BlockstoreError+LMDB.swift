internal import CBlockstore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension BlockstoreError {
    /// An error of the C engine. `doing` is what could not be done to the store: "opened", "read", …
    init(status: CInt, path: String, doing: String) {
        var text = [CChar](repeating: 0, count: 160)
        cbs_describe(status, &text, text.count)
        let reason = text.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
        let (code, explanation) = Self.explain(status, reason: reason)
        self.init(code: code, message: "The block store at \(path) cannot be \(doing): \(explanation)", path: path)
    }

    private static func explain(_ status: CInt, reason: String) -> (Code, String) {
        switch status {
        case CBS_CLOSED:
            return (.closed, "it is closed. Open it again to use it.")
        case CBS_FOREIGN:
            return (.foreign, "the files there are not a block store's. Choose another directory.")
        case CBS_NEWER:
            return (.unsupportedVersion, "a later version of this software wrote it. Use that version.")
        case CBS_OTHER_LMDB:
            return (
                .unsupportedVersion,
                "an LMDB library with another file format wrote it, or has it open. Use the same library for all."
            )
        case CBS_CORRUPT:
            return (
                .corrupt,
                "its files are damaged or cut short. Restore them from a copy, or move them away and fetch the blocks"
                    + " again."
            )
        case CBS_MAP_LIMIT:
            return (.storeFull, "it has reached its configured size. Delete blocks, or raise maximumMapSize.")
        case CBS_READERS_FULL:
            return (
                .tooManyReaders,
                "too many readers have it open. Close some processes, or raise BlockstoreLimits.readerCount and close"
                    + " all of them once."
            )
        case CBS_BROKEN:
            return (.inputOutput, "an earlier error left it unusable. Close it and open it again.")
        case CBS_READ_ONLY:
            return (.readOnly, "it was opened to read only. Open it without isReadOnly.")
        case CBS_NO_STORE:
            return (.notFound, "there is no block store, and it was opened to read only. Open it to write once.")
        case ENOSPC, EDQUOT:
            return (.diskFull, "the disk is full (\(reason)). Free some space; what was stored before is intact.")
        case EFBIG:
            return (
                .diskFull,
                "its file is as large as this process or file system allows (\(reason)). Raise the limit (ulimit -f);"
                    + " what was stored before is intact."
            )
        case EACCES, EPERM:
            return (
                .permissionDenied,
                "this user may not write there (\(reason)). Change the permissions or the owner, or choose another"
                    + " directory."
            )
        case EROFS:
            return (.readOnly, "the file system is read-only. Choose another directory, or open it with isReadOnly.")
        case ENOENT:
            return (.notFound, "it does not exist. Make the directory first, or check the path.")
        case ENOTDIR:
            return (.notADirectory, "the path leads through something that is not a directory. Check the path.")
        case ENOMEM:
            return (
                .inputOutput,
                "there is too little memory or address space (\(reason)). Lower initialMapSize, or raise ulimit -v."
            )
        default:
            return (.inputOutput, "\(reason) (\(status)). Check the disk and the system's log.")
        }
    }
}
