import HeapModule

/// Things that are due at some time, the earliest first. Pure.
///
/// What is no longer of interest is not taken out but passed over when it is due; ``compact(_:)`` bounds what that costs.
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

    /// The time at which the driver has to come back, if it does not know of one so early yet.
    mutating func takeAlarm() -> Duration? {
        guard let first = heap.min?.time, alarms.last.map({ first < $0 }) ?? true else { return nil }
        alarms.append(first)
        return first
    }

    /// The driver has come back: of what is over it is told no more, and it still knows of the rest.
    mutating func alarmRang(now: Duration) {
        while let last = alarms.last, last <= now { alarms.removeLast() }
    }

    mutating func compact(_ isLive: (Event, Duration) -> Bool) {
        heap = Heap(heap.unordered.filter { isLive($0.event, $0.time) })
    }
}
