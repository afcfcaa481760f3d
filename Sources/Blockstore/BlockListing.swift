public import Multiformats

/// The keys and sizes of a store's blocks, in the order of the keys' bytes.
///
/// It is fetched in pages, each as of its own moment: between two pages nothing of the store is held, however long the
/// consumer takes. Iterating it again starts afresh. Throws `cancelled` between pages when the task is.
public struct BlockListing: AsyncSequence, Sendable {
    public typealias Element = (key: Multihash, size: Int)
    public typealias Failure = BlockstoreError
    /// Gives at most `limit` entries with keys after the given one, in order; an empty page ends the listing.
    public typealias Pages =
        @Sendable (_ after: Multihash?, _ limit: Int) async throws(BlockstoreError) -> [Element]

    private let pageCount: Int
    private let pages: Pages

    /// For implementations of ``Blockstore``.
    public init(pageCount: Int, pages: @escaping Pages) {
        self.pageCount = Swift.max(1, pageCount)
        self.pages = pages
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(pageCount: pageCount, pages: pages)
    }

    public struct AsyncIterator: AsyncIteratorProtocol {
        private let pageCount: Int
        private let pages: Pages
        private var page: [Element] = []
        private var index = 0
        private var last: Multihash?
        private var isAtEnd = false

        fileprivate init(pageCount: Int, pages: @escaping Pages) {
            self.pageCount = pageCount
            self.pages = pages
        }

        public mutating func next() async throws(BlockstoreError) -> Element? {
            try await next(isolation: nil)
        }

        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(BlockstoreError) -> Element? {
            if index == page.count {
                guard !isAtEnd else { return nil }
                guard !Task.isCancelled else { throw .cancelled }
                page = try await pages(last, pageCount)
                index = 0
                guard let end = page.last else {
                    isAtEnd = true
                    return nil
                }
                last = end.key
            }
            defer { index += 1 }
            return page[index]
        }
    }
}
