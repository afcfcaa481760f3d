import Testing

@testable import Bitswap

@Suite struct SharedBudgetTests {
    @Test func howeverMuchIsWantedThereIsRoomForAnother() {
        var budget = SharedBudget(limit: 1_000)
        var own = [0, 0]
        for round in 0..<3_000 { own[round % 2] += budget.reserve(1, for: own[round % 2]) }
        #expect(own[0] + own[1] < 700)
        #expect(own[0] > 300 && own[1] > 300)
        #expect(budget.room(for: 0) > 150, "the third finds room")
    }

    @Test func allOfThemTogetherNeverPassTheLimit() {
        var budget = SharedBudget(limit: 1_000)
        var own = [Int](repeating: 0, count: 500)
        for round in 0..<5_000 { own[round % 500] += budget.reserve(400, for: own[round % 500]) }
        #expect(own.reduce(0, +) == budget.bytes)
        #expect(budget.bytes <= 1_000)
    }

    @Test func theLeastIsThereForEverybodyHoweverMuchTheOthersTook() {
        var budget = SharedBudget(limit: 1_000, least: 10)
        budget.bytes = 1_000
        #expect(budget.reserve(50, for: 0) == 10)
        #expect(budget.reserve(50, for: 10) == 0)
        budget.bytes -= 10
        #expect(budget.reserve(5, for: 0) == 5)
    }
}
