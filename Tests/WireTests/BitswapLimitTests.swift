import CWire
import Testing

/// Each limit at its value and one past it, and what an arena holds on to.
@Suite struct BitswapLimitTests {
    static let exact = cwire_bitswap_limits(
        message_bytes: BitswapTests.golden.count, wants: 2, blocks: 3, presences: 2, cid_bytes: 4, prefix_bytes: 4,
        block_bytes: 5)

    @Test func atEveryLimit() {
        #expect(Arena().decode(BitswapTests.golden, limits: Self.exact) == CWIRE_OK)
    }

    @Test func onePastEachLimit() {
        let arena = Arena()
        func check(_ path: WritableKeyPath<cwire_bitswap_limits, Int>, _ expected: cwire_status) {
            var limits = Self.exact
            limits[keyPath: path] -= 1
            #expect(arena.decode(BitswapTests.golden, limits: limits) == expected)
            #expect(arena.form(of: []) == BitswapForm())
        }
        check(\.message_bytes, CWIRE_LIMIT_MESSAGE_BYTES)
        check(\.wants, CWIRE_LIMIT_WANTS)
        check(\.blocks, CWIRE_LIMIT_BLOCKS)
        check(\.presences, CWIRE_LIMIT_PRESENCES)
        check(\.cid_bytes, CWIRE_LIMIT_CID_BYTES)
        check(\.prefix_bytes, CWIRE_LIMIT_PREFIX_BYTES)
        check(\.block_bytes, CWIRE_LIMIT_BLOCK_BYTES)
    }

    @Test func presencesAndLegacyBlocksHaveTheirLimitsToo() {
        var limits = Self.exact
        limits.cid_bytes = 3
        limits.block_bytes = 2
        #expect(Arena().decode(hex("2206 0a0443494433"), limits: limits) == CWIRE_LIMIT_CID_BYTES)
        #expect(Arena().decode(hex("1203 4f4c44"), limits: limits) == CWIRE_LIMIT_BLOCK_BYTES)
        limits.blocks = 1
        #expect(Arena().decode(hex("1200 1a00"), limits: limits) == CWIRE_LIMIT_BLOCKS)
        limits.wants = 0
        #expect(Arena().decode(hex("0a020a00"), limits: limits) == CWIRE_LIMIT_WANTS)
        #expect(Arena().decode(hex("0a00"), limits: limits) == CWIRE_OK)
    }

    @Test func wantlistsAreCountedTogether() {
        var limits = Self.exact
        limits.wants = 2
        #expect(Arena().decode(hex("0a020a00 0a020a00"), limits: limits) == CWIRE_OK)
        #expect(Arena().decode(hex("0a020a00 0a040a000a00"), limits: limits) == CWIRE_LIMIT_WANTS)
    }

    @Test func anArenaStaysWithinItsLimitsAndIsUsedAgain() throws {
        let arena = Arena()
        #expect(cwire_bitswap_message_memory(&arena.message) == 0)
        var limits = Arena.generous
        limits.wants = 100
        func wantlist(_ count: Int) throws -> [UInt8] {
            try BitswapForm(wants: .init(repeating: .init(cid: [1]), count: count), hasWantlist: true).encode()
        }
        #expect(try arena.decode(wantlist(100), limits: limits) == CWIRE_OK)
        #expect(arena.message.want_capacity == 100)
        #expect(try arena.decode(wantlist(101), limits: limits) == CWIRE_LIMIT_WANTS)
        #expect(arena.message.want_capacity == 100)

        let wants = arena.message.wants
        let memory = cwire_bitswap_message_memory(&arena.message)
        for count in [1, 100, 17, 99] {
            #expect(try arena.decode(wantlist(count), limits: limits) == CWIRE_OK)
            #expect(arena.message.want_count == count)
            #expect(arena.message.wants == wants)
            #expect(cwire_bitswap_message_memory(&arena.message) == memory)
        }

        cwire_bitswap_message_reset(&arena.message)
        #expect(arena.message.want_count == 0)
        #expect(!arena.message.has_wantlist)
        #expect(cwire_bitswap_message_memory(&arena.message) == memory)
        cwire_bitswap_message_free(&arena.message)
        #expect(cwire_bitswap_message_memory(&arena.message) == 0)
        #expect(arena.message.wants == nil)
        #expect(try arena.decode(wantlist(3)) == CWIRE_OK)
        #expect(arena.message.want_count == 3)
    }

    @Test func lengthsThatProtobufCannotHold() {
        let most = Int(Int32.max)
        #expect(cwire_bitswap_legacy_block_header_size(most) == 6)
        #expect(cwire_bitswap_legacy_block_header_size(most + 1) == 0)
        #expect(cwire_bitswap_wantlist_header_size(most + 1) == 0)
        #expect(cwire_bitswap_block_header_size(0, most) == 0)
        #expect(cwire_bitswap_block_header_size(4, most - 12) == 18)
        #expect(cwire_bitswap_block_header_size(4, .max) == 0)
        #expect(cwire_bitswap_presence_size(most - 6, 0) == most + 6)
        #expect(cwire_bitswap_presence_size(most - 5, 0) == 0)
        #expect(cwire_bitswap_presence_size(.max, 0) == 0)
        var want = cwire_want()
        want.cid.length = .max
        #expect(cwire_bitswap_want_size(&want) == 0)
        #expect(cwire_bitswap_wantlist_size(&want, 1, false) == 0)
        var buffer = [UInt8](repeating: 0xa5, count: 64)
        #expect(cwire_bitswap_block_header_write([], 0, .max, &buffer, buffer.count) == 0)
        #expect(cwire_bitswap_legacy_block_header_write(.max, &buffer, buffer.count) == 0)
        #expect(cwire_bitswap_presence_write([], .max, 0, &buffer, buffer.count) == 0)
        #expect(cwire_bitswap_wantlist_write([], &want, 1, false, &buffer, buffer.count) == 0)
        #expect(cwire_bitswap_full_write(&buffer, 1) == 0)
        #expect(cwire_bitswap_pending_bytes_write(1, &buffer, 1) == 0)
        #expect(buffer.allSatisfy { $0 == 0xa5 })
    }
}
