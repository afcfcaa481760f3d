internal import CResolver
import Libp2p
import NIOPosix

/// TXT records by the system's resolver, asked on a thread of its own because it blocks.
enum TextRecords {
    /// What fits into a message over TCP.
    private static let messageBytes = 65_535
    private static let mostRecords = 1_024

    /// The strings of the TXT records of a name; those of one record are joined.
    ///
    /// - Throws: `Libp2pError.dialFailed` when there are none, or nobody knows.
    static func lookUp(_ name: String) async throws -> [String] {
        try await NIOThreadPool.singleton.runIfActive { () throws(Libp2pError) in
            let answer = [UInt8](unsafeUninitializedCapacity: messageBytes) { buffer, count in
                let length = cresolver_query_text(name, buffer.baseAddress, Int32(messageBytes))
                count = min(max(0, Int(length)), messageBytes)
            }
            let limits = DNSLimits(messageBytes: messageBytes, questions: 1, records: mostRecords)
            guard let message = try? DNSMessage(answer, limits: limits) else {
                throw Libp2pError(.dialFailed, "The name \(name) has no TXT records, or the resolver cannot tell.")
            }
            return message.answers.compactMap { record in
                guard case .text(let strings) = record.content else { return nil }
                return String(decoding: strings.joined(), as: UTF8.self)
            }
        }
    }
}
