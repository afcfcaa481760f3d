import Testing

@testable import BitswapCLI

@Suite struct QuantityTests {
    @Test(arguments: [
        (0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567"), (Int.max, "9,223,372,036,854,775,807"),
    ])
    func counts(number: Int, text: String) { #expect(Quantity.count(number) == text) }

    @Test func nounsFollowTheirNumber() {
        #expect(Quantity.count(0, "block") == "0 blocks")
        #expect(Quantity.count(1, "block") == "1 block")
        #expect(Quantity.count(2_000, "block") == "2,000 blocks")
    }

    @Test(arguments: [
        (0, "0 bytes"), (1, "1 byte"), (1_023, "1,023 bytes"), (1_024, "1.0 KiB"), (1_536, "1.5 KiB"),
        (1_048_524, "1,023.9 KiB"), (1_048_525, "1.0 MiB"), (64 << 20, "64.0 MiB"), (5 << 30, "5.0 GiB"),
        (Int.max, "8.0 EiB"),
    ])
    func bytes(number: Int, text: String) { #expect(Quantity.bytes(number) == text) }

    @Test(arguments: [
        (0, "0 µs"), (999, "999 µs"), (1_000, "1.0 ms"), (12_340, "12.3 ms"), (999_949, "999.9 ms"),
        (999_950, "1.00 s"), (3_204_000, "3.20 s"), (90_000_000, "90.00 s"),
    ])
    func shortTimes(microseconds: Int, text: String) { #expect(Quantity.time(microseconds: microseconds) == text) }

    @Test(arguments: [
        (0, "0 s"), (59, "59 s"), (60, "1 min"), (185, "3 min 5 s"), (3_600, "1 h"), (7_805, "2 h 10 min"),
        (86_400, "1 d"), (442_800, "5 d 3 h"),
    ])
    func longTimes(seconds: Int, text: String) { #expect(Quantity.time(seconds: seconds) == text) }

    @Test func sharesAndRatios() {
        #expect(Quantity.share(0) == "0.00 %")
        #expect(Quantity.share(0.001_23) == "0.12 %")
        #expect(Quantity.share(0.5) == "50.0 %")
        #expect(Quantity.ratio(1.006) == "1.01")
        #expect(Quantity.ratio(1_234.5) == "1,234.50")
        #expect(Quantity.ratio(.infinity) == "inf")
    }

    @Test func columnsStandBelowEachOther() {
        var table = Table()
        table.row("a", "long cell", "x")
        table.row("longer", "b", "y")
        table.row("alone, and longer than any other")
        #expect(table.lines == ["a       long cell  x", "longer  b          y", "alone, and longer than any other"])
        #expect(Table().lines == [])
    }
}
