import NIOConcurrencyHelpers
import Testing

@testable import Bitswap

@Suite struct WayTests {
    private let starts = NIOLockedValueBox(0)

    private func way() -> Way { Way(to: peer(1)) { [starts] _ in starts.withLockedValue { $0 += 1 } } }

    private var started: Int { starts.withLockedValue { $0 } }

    @Test func whoComesSecondIsSeenToByTheFirst() {
        let way = way()
        #expect(way.take())
        #expect(!way.take())
        #expect(started == 0)
        way.release()
        #expect(started == 1)
        #expect(way.take(), "it is free again")
        way.release()
        #expect(started == 1)
    }

    @Test func whatIsLeftIsForTheTask() {
        let way = way()
        #expect(way.take())
        way.release(lookAgain: true)
        #expect(started == 1)
    }

    @Test func thereIsOneTaskWhileThereIsSomethingToDo() {
        let way = way()
        way.wake()
        way.wake()
        way.wake()
        #expect(started == 1)
        #expect(way.looksAgain(), "it was woken while it ran")
        #expect(!way.looksAgain())
        way.wake()
        #expect(started == 2, "the first one was over")
        #expect(!way.looksAgain())
    }

    @Test func nothingIsStartedForAPeerThatIsGone() {
        let way = way()
        way.wake()
        way.wake()
        way.end()
        #expect(!way.looksAgain())
        way.wake()
        #expect(started == 1)
        #expect(!way.take())
    }

    @Test(arguments: [false, true]) func nobodyHasAWayThatHasEnded(isTaken: Bool) {
        let way = way()
        let frees = NIOLockedValueBox(0)
        if isTaken { #expect(way.take()) }
        way.end { frees.withLockedValue { $0 += 1 } }
        #expect(frees.withLockedValue { $0 } == (isTaken ? 0 : 1))
        #expect(!way.take())
        if isTaken { way.release(lookAgain: true) }
        #expect(frees.withLockedValue { $0 } == 1)
        #expect(!way.take())
        #expect(started == 0)
    }

    @Test func aWayThatIsNotOpenHasNoIdleOutlet() {
        #expect(way().idleOutlet == nil)
    }
}
