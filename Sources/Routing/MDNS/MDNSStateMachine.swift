import Libp2p
import Multiformats
import NIOCore
import PeerIdentity

/// libp2p's mDNS: asks who is there, tells that this node is, and keeps what others tell. Pure: time, chance, packets and
/// interfaces come in; packets, and peers that come and go, come out.
///
/// - It asks when an interface comes up, then ever more rarely, and when what it knows is about to run out. Names that it
///   knows are in the question, and are not told again (RFC 6762, sections 5.2 and 7.1).
/// - It tells by itself when it starts and when its addresses change; it answers to all, after a moment in which another
///   question may join, at most once a second on a link. So the traffic grows with the number of peers, not its square.
/// - It believes addresses that are in a network of the interface on which they were told, and nothing else.
struct MDNSStateMachine {
    enum Family: Hashable, Sendable { case ip4, ip6 }

    /// One socket: an interface, by its number, and a version of IP.
    struct Link: Hashable, Sendable {
        let interface: Int
        let family: Family
    }

    struct Packet: Equatable, Sendable {
        let bytes: [UInt8]
        let link: Link
        /// Nil: to the group.
        var destination: SocketAddress?
    }

    struct Effects: Sendable {
        var packets: [Packet] = []
        var events: [PeerDiscoveryEvent] = []
        var hits: [MDNSLimit] = []

        mutating func take() -> Effects {
            defer { self = Effects() }
            return self
        }
    }

    struct Interface {
        var network: NetworkInterface
        var families: Set<Family> = []
        /// What is told on it; nil when no address of this node is on it.
        var own: OwnRecords?
        var announcement: Duration?
        var announcementsLeft = 0
        var query: Duration?
        var queryInterval: Duration
    }

    /// An answer that is due on a link.
    struct Answer {
        var due: Duration
        /// Who asked, as far as they are kept.
        var askers: Set<IPAddress>
        var tellsServices = false
        /// Others asked too, who cannot take it back.
        var isCertain = false
    }

    let ownPeer: PeerID
    let limits: MDNSLimits
    let timing: MDNSTiming
    var random: RandomSource
    var interfaces: [Int: Interface] = [:]
    var answers: [Link: Answer] = [:]
    var lastAnswer: [Link: Duration] = [:]
    var cache: MDNSCache
    var effects = Effects()
    /// Our own queries, which come back to us too.
    var echoes: [(bytes: [UInt8], link: Link, until: Duration)] = []
    private var ownAddresses: [Multiaddr] = []
    private var unicastSecond = Duration.zero
    private var unicastAnswers = 0

    init(
        ownPeer: PeerID, limits: MDNSLimits = MDNSLimits(), timing: MDNSTiming = MDNSTiming(),
        random: RandomSource
    ) {
        self.ownPeer = ownPeer
        self.limits = limits
        self.timing = timing
        self.random = random
        cache = MDNSCache(ownPeer: ownPeer, limits: limits)
    }

    // MARK: Interfaces and addresses

    /// The sockets that are open now, and where this node can be reached. What is new is asked for and told; of an interface
    /// that is gone, nothing is known any more.
    mutating func networkChanged(
        to networks: [NetworkInterface], links: Set<Link>, addresses: [Multiaddr], now: Duration
    ) -> Effects {
        ownAddresses = addresses
        let present = Dictionary(grouping: links, by: \.interface)
        for index in interfaces.keys where present[index] == nil {
            interfaces[index] = nil
            answers = answers.filter { $0.key.interface != index }
            effects.events += cache.forget(interface: index)
        }
        for network in networks {
            guard let families = present[network.index].map({ Set($0.map(\.family)) }) else { continue }
            let known = interfaces[network.index]
            var interface = known ?? Interface(network: network, queryInterval: timing.queryInterval)
            let isNew = known == nil || known?.network != network || known?.families != families
            interface.network = network
            interface.families = families
            if isNew {
                interface.query = now + jitter(.zero...timing.firstQueryDelay)
                interface.queryInterval = timing.queryInterval
                effects.events += cache.forget(interface: network.index) { !network.reaches($0) }
            }
            let told = Set(interface.own?.strings ?? [])
            let own = ownRecords(on: network)
            if isNew || Set(own?.strings ?? []) != told {
                // Under a new name, because some readers take a name's addresses once; the old one is taken back.
                if let old = interface.own { send(MDNSMessages.answer(old, seconds: 0), on: network.index, families) }
                interface.own = own
                interface.announcement = own == nil ? nil : now + jitter(.zero...timing.firstQueryDelay)
                interface.announcementsLeft = timing.announcements
            }
            interfaces[network.index] = interface
        }
        return effects.take()
    }

    private mutating func ownRecords(on network: NetworkInterface) -> OwnRecords? {
        let ips = Set(network.networks.map(\.address))
        let here = ownAddresses.filter { address in IPAddress(address).map(ips.contains) ?? false }
        return OwnRecords(label: MDNSMessages.peerName(&random), addresses: here, limit: limits.ownAddresses)
    }

    /// Takes back what was told. Nothing else is to be done with the machine afterwards.
    mutating func stop() -> Effects {
        for (index, interface) in interfaces {
            guard let own = interface.own else { continue }
            send(MDNSMessages.answer(own, seconds: 0), on: index, interface.families)
        }
        return effects.take()
    }

    // MARK: Packets

    /// - Parameter link: where it came in.
    mutating func received(_ bytes: [UInt8], from source: SocketAddress, on link: Link, now: Duration) -> Effects {
        guard let interface = interfaces[link.interface], let ip = IPAddress(source) else { return effects.take() }
        guard interface.network.reaches(ip) || (ip.isLinkLocal && link.family == .ip6) else { return hit(.offLink) }
        if isEcho(bytes, from: ip, on: link, interface, now) { return effects.take() }
        var bounds = DNSLimits()
        bounds.messageBytes = limits.messageBytes
        bounds.questions = limits.questionsPerMessage
        bounds.records = limits.recordsPerMessage
        guard let message = try? DNSMessage(bytes, limits: bounds) else { return hit(.malformed) }
        guard message.isPlain else { return effects.take() }
        if message.isResponse {
            guard source.port == Self.port else { return hit(.offLink) }
            let result = cache.received(
                message, from: ip, on: interface.network, ownName: interface.own?.name, now: now, random: &random)
            effects.events += result.events
            effects.hits += result.hits
        } else {
            asked(message, source, ip, on: link, interface, now)
        }
        return effects.take()
    }

    static let port = 5_353

    private mutating func hit(_ limit: MDNSLimit) -> Effects {
        effects.hits.append(limit)
        return effects.take()
    }

    /// Whether this is our own query that comes back; each does once.
    private mutating func isEcho(
        _ bytes: [UInt8], from ip: IPAddress, on link: Link, _ interface: Interface, _ now: Duration
    ) -> Bool {
        echoes.removeAll { $0.until < now }
        guard interface.network.networks.contains(where: { $0.address == ip }),
            let index = echoes.firstIndex(where: { $0.link == link && $0.bytes == bytes })
        else { return false }
        echoes.remove(at: index)
        return true
    }

    private mutating func asked(
        _ message: DNSMessage, _ source: SocketAddress, _ ip: IPAddress, on link: Link, _ interface: Interface,
        _ now: Duration
    ) {
        if source.port == Self.port, message.answers.isEmpty, !message.isTruncated,
            message.questions.contains(where: {
                $0.name == MDNSMessages.service && $0.type == .pointer && !$0.wantsUnicast
            })
        {
            askedByAnother(link.interface, now)
        }
        guard let own = interface.own else { return }
        let isKnown = message.answers.contains {
            $0.content == .pointer(own.name) && $0.lifetime >= timing.lifetimeSeconds / 2
        }
        if isKnown, var answer = answers[link] {
            answer.askers.remove(ip)
            answers[link] = answer.askers.isEmpty && !answer.isCertain ? nil : answer
        }
        var tellsSelf = false
        var tellsServices = false
        var wantsUnicast = false
        for question in message.questions {
            let isAny = question.type == .any
            switch question.name {
            case MDNSMessages.service where isAny || question.type == .pointer: tellsSelf = !isKnown || tellsSelf
            case MDNSMessages.services where isAny || question.type == .pointer: tellsServices = true
            case own.name where isAny || question.type == .service || question.type == .text: tellsSelf = true
            case own.host where isAny || question.type == .ip4 || question.type == .ip6: tellsSelf = true
            default: continue
            }
            wantsUnicast = wantsUnicast || question.wantsUnicast
        }
        guard tellsSelf || tellsServices else { return }
        let isLegacy = source.port != Self.port
        // Whoever asks for an answer of its own gets it, unless it is time that all hear it again.
        let isStale =
            lastAnswer[link].map { now - $0 > .seconds(Int64(timing.lifetimeSeconds) / 4) } ?? true
        if isLegacy || (wantsUnicast && !isStale) {
            answerAlone(message, source, on: link, own, tellsSelf: tellsSelf, tellsServices: tellsServices, now)
        } else {
            answerAll(ip, on: link, tellsServices: tellsServices, moreFollows: message.isTruncated, now)
        }
    }

    /// Somebody else has just asked what we were about to ask, and the answers come to all (RFC 6762, section 7.3).
    private mutating func askedByAnother(_ index: Int, _ now: Duration) {
        guard let due = interfaces[index]?.query, due - now < timing.queryInterval, cache.isEmpty else { return }
        // Not without end: a neighbour that asks all the time must not keep us from asking.
        guard let interval = interfaces[index]?.queryInterval, interval < timing.queryInterval * 8 else { return }
        scheduleQuery(index, now)
    }

    private mutating func answerAlone(
        _ message: DNSMessage, _ source: SocketAddress, on link: Link, _ own: OwnRecords, tellsSelf: Bool,
        tellsServices: Bool, _ now: Duration
    ) {
        let second = Duration.seconds(now.components.seconds)
        if second != unicastSecond { (unicastSecond, unicastAnswers) = (second, 0) }
        guard unicastAnswers < limits.unicastAnswersPerSecond else { return effects.hits.append(.unicastAnswers) }
        unicastAnswers += 1
        let isLegacy = source.port != Self.port
        let seconds = isLegacy ? MDNSMessages.legacySeconds : timing.lifetimeSeconds
        var messages = tellsSelf ? MDNSMessages.answer(own, seconds: seconds) : []
        if tellsServices { messages.append(MDNSMessages.services(seconds: seconds)) }
        for var answer in messages {
            if isLegacy {
                // A plain resolver wants its question back.
                answer.id = message.id
                answer.questions = message.questions
            }
            effects.packets.append(Packet(bytes: answer.bytes, link: link, destination: source))
        }
    }

    private mutating func answerAll(
        _ asker: IPAddress, on link: Link, tellsServices: Bool, moreFollows: Bool, _ now: Duration
    ) {
        var due = now + jitter(moreFollows ? timing.answerDelayForMore : timing.answerDelay)
        if let last = lastAnswer[link] { due = max(due, last + timing.answerInterval) }
        var answer = answers[link] ?? Answer(due: due, askers: [])
        answer.due = min(answer.due, due)
        answer.tellsServices = answer.tellsServices || tellsServices
        if answer.askers.count < limits.askersPerAnswer {
            answer.askers.insert(asker)
        } else {
            answer.isCertain = true
        }
        answers[link] = answer
    }

    // MARK: Time

    /// When ``tick(now:)`` is to be called next; nil for not before something else happens.
    var nextDue: Duration? {
        var due = cache.nextDue
        func consider(_ time: Duration?) {
            guard let time else { return }
            due = due.map { min($0, time) } ?? time
        }
        for interface in interfaces.values {
            consider(interface.query)
            consider(interface.announcement)
        }
        for answer in answers.values { consider(answer.due) }
        return due
    }

    /// Does what is due.
    mutating func tick(now: Duration) -> Effects {
        let checked = cache.tick(now: now)
        effects.events += checked.events
        for index in checked.stale {
            // What is about to run out is asked for with the others, and then the interval begins anew.
            guard let due = interfaces[index]?.query, due > now + timing.queryInterval else { continue }
            interfaces[index]?.query = now
        }
        for (index, interface) in interfaces.sorted(by: { $0.key < $1.key }) {
            if let due = interface.announcement, due <= now { announce(index, now) }
            if let due = interface.query, due <= now { ask(index, now) }
        }
        for (link, answer) in answers where answer.due <= now { give(answer, on: link, now) }
        return effects.take()
    }

    private mutating func announce(_ index: Int, _ now: Duration) {
        guard let interface = interfaces[index], let own = interface.own else { return }
        send(MDNSMessages.answer(own, seconds: timing.lifetimeSeconds), on: index, interface.families)
        for family in interface.families { lastAnswer[Link(interface: index, family: family)] = now }
        let left = interface.announcementsLeft - 1
        interfaces[index]?.announcementsLeft = left
        interfaces[index]?.announcement = left > 0 ? now + timing.announcementInterval : nil
    }

    private mutating func ask(_ index: Int, _ now: Duration) {
        guard let interface = interfaces[index] else { return }
        let known = cache.known(on: index, now: now)
        for message in MDNSMessages.query(known: known, limit: limits.messagesPerQuery) {
            let bytes = message.bytes
            for family in interface.families {
                let link = Link(interface: index, family: family)
                effects.packets.append(Packet(bytes: bytes, link: link))
                echoes.append((bytes, link, now + .seconds(2)))
            }
        }
        scheduleQuery(index, now)
    }

    private mutating func scheduleQuery(_ index: Int, _ now: Duration) {
        guard let interval = interfaces[index]?.queryInterval else { return }
        // Where somebody is known the question comes anyway before that runs out, and who is new tells of itself. Where many
        // are, the question that names them is long: the second one, which finds those that the first one missed, is the last.
        let names = cache.nameCount(on: index)
        let isAskedEnough = names > 0 && interval >= timing.queryInterval * (names < timing.manyNames ? 8 : 2)
        let pause = isAskedEnough ? timing.longestQueryInterval : interval
        let due = now + pause + jitter(.zero...pause / 10)
        interfaces[index]?.query = due
        interfaces[index]?.queryInterval = min(pause * 2, timing.longestQueryInterval)
    }

    private mutating func give(_ answer: Answer, on link: Link, _ now: Duration) {
        answers[link] = nil
        guard let own = interfaces[link.interface]?.own else { return }
        // Announced in the meantime.
        if let last = lastAnswer[link], now - last < timing.answerInterval, !answer.tellsServices { return }
        lastAnswer[link] = now
        send(MDNSMessages.answer(own, seconds: timing.lifetimeSeconds), on: link.interface, [link.family])
        if answer.tellsServices {
            send([MDNSMessages.services(seconds: timing.lifetimeSeconds)], on: link.interface, [link.family])
        }
    }

    private mutating func send(_ messages: [DNSMessage], on index: Int, _ families: Set<Family>) {
        for message in messages {
            let bytes = message.bytes
            for family in families {
                effects.packets.append(Packet(bytes: bytes, link: Link(interface: index, family: family)))
            }
        }
    }

    private mutating func jitter(_ range: ClosedRange<Duration>) -> Duration {
        range.lowerBound + (range.upperBound - range.lowerBound) * Double.random(in: 0...1, using: &random)
    }
}
