import Libp2p
import Multiformats
import PeerIdentity

/// The names and messages of libp2p's mDNS.
///
/// Specification: https://github.com/libp2p/specs/blob/master/discovery/mdns.md
enum MDNSMessages {
    /// `_p2p._udp.local`: what all peers answer for.
    static let service = DNSName(checked: Array("\u{4}_p2p\u{4}_udp\u{5}local\u{0}".utf8))
    /// `_services._dns-sd._udp.local`: what services there are (RFC 6763, section 9).
    static let services = DNSName(checked: Array("\u{9}_services\u{7}_dns-sd\u{4}_udp\u{5}local\u{0}".utf8))
    static let local = DNSName(checked: Array("\u{5}local\u{0}".utf8))
    static let addressKey = Array("dnsaddr=".utf8)

    /// What fits into a packet on an Ethernet, behind the headers of IPv6 and UDP.
    static let packetBytes = 1_440
    /// The lifetime of records for an asker that does not speak mDNS (RFC 6762, section 6.7).
    static let legacySeconds: UInt32 = 10

    /// A label of 32 to 63 letters and digits.
    static func peerName(_ random: inout RandomSource) -> [UInt8] {
        let characters = Array("abcdefghijklmnopqrstuvwxyz0123456789".utf8)
        return (0..<Int.random(in: 32...DNSName.longestLabel, using: &random)).map { _ in
            characters[Int.random(in: characters.indices, using: &random)]
        }
    }

    /// Asks for all peers but those known, in as many messages as it takes.
    ///
    /// - Parameter known: names, with the seconds that they are still good for.
    static func query(known: [(DNSName, UInt32)], limit: Int) -> [DNSMessage] {
        var messages = [DNSMessage(questions: [DNSQuestion(name: service, type: .pointer)])]
        // 60 bytes of header, question and a little more; a record takes a pointer, 10 bytes and the first label.
        var room = packetBytes - 60
        for (name, seconds) in known {
            let size = 14 + name.wire.count - service.wire.count + 4
            if size > room {
                guard messages.count < limit else { break }
                messages[messages.count - 1].flags |= DNSMessage.truncatedFlag
                messages.append(DNSMessage())
                room = packetBytes - 60
            }
            room -= size
            messages[messages.count - 1].answers.append(
                DNSRecord(name: service, type: .pointer, lifetime: seconds, content: .pointer(name)))
        }
        return messages
    }

    /// Tells of this node, in as many messages as its addresses take. Addresses and host records are in the answer section,
    /// where readers look that pass over additional records.
    static func answer(_ own: OwnRecords, seconds: UInt32) -> [DNSMessage] {
        let head = [
            DNSRecord(name: service, type: .pointer, lifetime: seconds, content: .pointer(own.name)),
            DNSRecord(
                name: own.name, type: .service, lifetime: seconds, content: .service(port: own.port, host: own.host)),
        ]
        let tail = own.ips.map { ip in
            switch ip {
            case .v4(let ip): DNSRecord(name: own.host, type: .ip4, lifetime: seconds, content: .ip4(ip.rawValue))
            case .v6(let ip):
                DNSRecord(name: own.host, type: .ip6, lifetime: seconds, content: .ip6(high: ip.high, low: ip.low))
            }
        }
        func message(_ strings: [[UInt8]]) -> DNSMessage {
            DNSMessage(
                flags: DNSMessage.responseFlag | DNSMessage.authoritativeFlag,
                answers: head + [DNSRecord(name: own.name, type: .text, lifetime: seconds, content: .text(strings))]
                    + tail)
        }
        let room = packetBytes - message([]).bytes.count
        var messages: [DNSMessage] = []
        var strings: [[UInt8]] = []
        var size = 0
        for string in own.strings {
            if size + string.count + 1 > room, !strings.isEmpty {
                messages.append(message(strings))
                (strings, size) = ([], 0)
            }
            strings.append(string)
            size += string.count + 1
        }
        messages.append(message(strings))
        return messages
    }

    /// Says what service there is.
    static func services(seconds: UInt32) -> DNSMessage {
        DNSMessage(
            flags: DNSMessage.responseFlag | DNSMessage.authoritativeFlag,
            answers: [DNSRecord(name: services, type: .pointer, lifetime: seconds, content: .pointer(service))])
    }
}

/// What this node tells on one interface.
struct OwnRecords: Sendable {
    /// `NAME._p2p._udp.local`
    let name: DNSName
    /// `NAME.local`
    let host: DNSName
    let port: UInt16
    let ips: [IPAddress]
    /// `dnsaddr=…`, the best address first.
    let strings: [[UInt8]]

    private static let mostIPs = 8

    /// Nil when there is no address to tell.
    ///
    /// - Parameter addresses: with `/p2p/`.
    init?(label: [UInt8], addresses: [Multiaddr], limit: Int) {
        var ips: [IPAddress] = []
        var port: UInt16?
        var strings: [[UInt8]] = []
        for address in addresses.prefix(limit) {
            let string = MDNSMessages.addressKey + Array(address.description.utf8)
            guard string.count <= 255, let ip = IPAddress(address),
                case .tcp(let number) = address.components.dropFirst().first
            else { continue }
            if !ips.contains(ip), ips.count < Self.mostIPs { ips.append(ip) }
            port = port ?? number
            strings.append(string)
        }
        guard let port, let name = MDNSMessages.service.prefixed(by: label),
            let host = MDNSMessages.local.prefixed(by: label)
        else { return nil }
        (self.name, self.host, self.port, self.ips, self.strings) = (name, host, port, ips, strings)
    }
}
