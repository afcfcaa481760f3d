import Foundation
import Multiformats
import NIOCore
import TestSupport
import Testing

@testable import Blockstore

extension SplitMix64 {
    mutating func block(size: Int) throws -> Block {
        try Block(ByteBuffer(bytes: bytes(size)))
    }
}

/// A directory that goes with the test.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("blockstore-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }
}

/// The stores that must behave alike.
enum StoreKind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case memory, lmdb, lmdbInBackground

    var testDescription: String { rawValue }

    /// A small page, transaction and map, so that every test crosses their bounds.
    static var smallLimits: BlockstoreLimits {
        var limits = BlockstoreLimits()
        limits.blockSize = 1 << 20
        limits.listingPageCount = 7
        limits.transactionByteCount = 64 << 10
        limits.transactionBlockCount = 16
        limits.readTransactionByteCount = 32 << 10
        return limits
    }

    func with(
        limits: BlockstoreLimits = smallLimits, _ body: (any ImmediateBlockstore) async throws -> Void
    ) async throws {
        let directory = try TemporaryDirectory()
        let store: any ImmediateBlockstore
        switch self {
        case .memory:
            store = MemoryBlockstore(limits: limits)
        case .lmdb, .lmdbInBackground:
            var configuration = LMDBBlockstore.Configuration()
            configuration.limits = limits
            configuration.initialMapSize = 64 << 10
            if self == .lmdbInBackground { configuration.durability = .background(interval: .milliseconds(5)) }
            store = try LMDBBlockstore(path: directory.file("blocks"), configuration: configuration)
        }
        do {
            try await body(store)
        } catch {
            try? await store.close()
            throw error
        }
        try await store.close()
    }
}

/// Expects a `BlockstoreError` with this code; gives it for further looks.
@discardableResult
func expect<R>(
    _ code: BlockstoreError.Code, _ what: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () async throws -> R
) async -> BlockstoreError? {
    do {
        let result = try await body()
        Issue.record("expected \(code), got \(result). \(what?.rawValue ?? "")", sourceLocation: sourceLocation)
        return nil
    } catch let error as BlockstoreError {
        #expect(error.code == code, what, sourceLocation: sourceLocation)
        return error
    } catch {
        Issue.record("expected \(code), got \(error). \(what?.rawValue ?? "")", sourceLocation: sourceLocation)
        return nil
    }
}

func string(_ buffer: ByteBuffer?) -> String? {
    buffer.map { String(decoding: $0.readableBytesView, as: UTF8.self) }
}
