// Compiled into the unit tests, and together with Sources/Routing/DNS alone by Tests/Fuzz/run.
#if canImport(Routing)
    @testable import Routing
#endif

/// What did not hold for any bytes, or nil: what is read of them is within the limits, and the same when it is written and
/// read again.
func dnsFailure(_ bytes: [UInt8]) -> String? {
    guard let message = try? DNSMessage(bytes) else { return nil }
    let limits = DNSLimits()
    let records = message.answers + message.additionals
    if bytes.count > limits.messageBytes { return "a message that is too long" }
    if message.questions.count > limits.questions || records.count > limits.records { return "more than the limits" }
    for name in message.questions.map(\.name) + records.map(\.name) {
        guard DNSName(labels: name.labels.map(Array.init)) == name else { return "a name that is none" }
    }
    // Of the others the data are not kept.
    var written = message
    written.answers.removeAll { $0.content == .other }
    written.additionals.removeAll { $0.content == .other }
    guard let again = try? DNSMessage(written.bytes, limits: DNSLimits(messageBytes: .max)) else {
        return "what was written is not read"
    }
    return again == written ? nil : "another message is read than was written"
}
