internal import CWire
import PeerIdentity

extension PeerRecord {
    private static let mostBytes = 64 << 10
    private static let mostAddresses = 1_000

    init(decoding bytes: [UInt8]) throws {
        var status = CWIRE_OK
        var limits = cwire_peer_record_limits(message_bytes: Self.mostBytes, addresses: Self.mostAddresses)
        guard let record = cwire_peer_record_decode(bytes, bytes.count, &limits, &status) else {
            throw Libp2pError(
                .protocolViolation,
                "The peer record cannot be read: \(String(cString: cwire_status_text(status))).")
        }
        defer { cwire_peer_record_free(record) }
        let id = cwire_peer_record_peer_id(record)
        self.init(
            peer: try PeerID(decoding: UnsafeRawBufferPointer(start: id.data, count: id.length)),
            number: cwire_peer_record_sequence_number(record),
            addresses: (0..<cwire_peer_record_address_count(record)).map {
                [UInt8](present: cwire_peer_record_address(record, $0)) ?? []
            })
    }

    func encoded() throws(Libp2pError) -> [UInt8] {
        let id = peer.bytes
        guard let record = cwire_peer_record_create(id, id.count, number) else { throw Self.outOfMemory }
        defer { cwire_peer_record_free(record) }
        for address in addresses {
            guard cwire_peer_record_add_address(record, address, address.count) == CWIRE_OK else {
                throw Self.outOfMemory
            }
        }
        let size = cwire_peer_record_size(record)
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            count = cwire_peer_record_write(record, buffer.baseAddress, size)
        }
    }

    private static var outOfMemory: Libp2pError {
        Libp2pError(.internal, "There is no memory for a peer record.")
    }
}
