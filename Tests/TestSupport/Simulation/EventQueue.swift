import HeapModule

/// What is going to happen, in order of time and, at one time, in the order in which it was scheduled. Pure.
struct EventQueue {
    typealias Action = () -> Void

    struct ID: Hashable {
        fileprivate var slot: Int
        fileprivate var serial: UInt64
    }

    private struct Key: Comparable {
        var due: Int64
        var serial: UInt64
        var slot: Int

        static func < (a: Key, b: Key) -> Bool { a.due != b.due ? a.due < b.due : a.serial < b.serial }
    }

    private struct Slot {
        var serial: UInt64
        var action: Action?
    }

    private var heap: Heap<Key> = []
    private var slots: [Slot] = []
    private var free: [Int] = []
    private var lastSerial: UInt64 = 0

    /// Events that are neither over nor cancelled.
    private(set) var count = 0

    /// - Parameter due: nanoseconds since the start.
    @discardableResult
    mutating func schedule(at due: Int64, _ action: @escaping Action) -> ID {
        lastSerial += 1
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            slots[slot] = Slot(serial: lastSerial, action: action)
        } else {
            slot = slots.count
            slots.append(Slot(serial: lastSerial, action: action))
        }
        count += 1
        heap.insert(Key(due: due, serial: lastSerial, slot: slot))
        return ID(slot: slot, serial: lastSerial)
    }

    mutating func cancel(_ id: ID) {
        guard slots[id.slot].serial == id.serial, slots[id.slot].action != nil else { return }
        release(id.slot)
        // Timers that are set and cancelled over and over must not fill the heap.
        if heap.count > 2 * count + 1_024 {
            heap = Heap(heap.unordered.filter { slots[$0.slot].serial == $0.serial && slots[$0.slot].action != nil })
        }
    }

    /// Takes the next event out.
    mutating func next() -> (due: Int64, action: Action)? {
        while let key = heap.popMin() {
            guard slots[key.slot].serial == key.serial, let action = slots[key.slot].action else { continue }
            release(key.slot)
            return (key.due, action)
        }
        return nil
    }

    private mutating func release(_ slot: Int) {
        slots[slot].action = nil
        free.append(slot)
        count -= 1
    }
}
