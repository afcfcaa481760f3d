import HeapModule

/// Things that are due at some time, the earliest first. Pure.
///
/// What is no longer of interest stays until it is the earliest; ``compact(_:)`` bounds what that costs.
struct DeadlineQueue<Event: Sendable>: Sendable {
    private struct Entry: Comparable {
        var time: Duration
        var serial: UInt64
        var event: Event

        static func < (a: Entry, b: Entry) -> Bool { (a.time, a.serial) < (b.time, b.serial) }
        static func == (a: Entry, b: Entry) -> Bool { a.serial == b.serial }
    }

    private var heap: Heap<Entry> = []
    private var lastSerial: UInt64 = 0
    /// When the driver has been told to come back, and has not come yet: the earliest last.
    private var alarms: [Duration] = []

    var count: Int { heap.count }

    mutating func insert(_ event: Event, at time: Duration) {
        lastSerial += 1
        heap.insert(Entry(time: time, serial: lastSerial, event: event))
    }

    mutating func popDue(now: Duration) -> Event? {
        guard let first = heap.min, first.time <= now else { return nil }
        return heap.popMin()?.event
    }

    /// What is due first, if the driver does not know that it has to come back so early.
    var unannounced: (event: Event, time: Duration)? {
        guard let first = heap.min, alarms.last.map({ first.time < $0 }) ?? true else { return nil }
        return (first.event, first.time)
    }

    /// The driver is told to come back at this time.
    mutating func announce(_ time: Duration) { alarms.append(time) }

    mutating func removeFirst() { heap.removeMin() }

    /// The driver has come back: of what is over it is told no more, and it still knows of the rest.
    mutating func alarmRang(now: Duration) {
        while let last = alarms.last, last <= now { alarms.removeLast() }
    }

    mutating func compact(_ isLive: (Event, Duration) -> Bool) {
        heap = Heap(heap.unordered.filter { isLive($0.event, $0.time) })
    }
}
