"""Peers that ask for too much, send rubbish, and open what they never use: the node keeps within its ceiling, tells which
limit was hit, and serves others meanwhile."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import dagpb
from dagpb import varint
from harness import test
from node import CEILING, HEADROOM, Node
from rawpeer import (
    WANT_HAVE,
    RawPeer,
    Refused,
    blocks_message,
    cancel,
    field,
    framed,
    made_up_cid,
    want,
    wantlist,
)

MESSAGE = 4 << 20
BLOCKS = 32


class Storm:
    """A node that holds some blocks, and an attack on it that goes on until somebody else was served."""

    def __init__(self, t):
        self.t, self.server = t, Node(t, "server")
        self.blocks = {dagpb.cid_v1(block): block for block in (os.urandom(128 << 10) for _ in range(BLOCKS))}
        paths = [t.file(f"block-{number}", block) for number, block in enumerate(self.blocks.values())]
        self.server.run("block", "put", *paths)
        self.serving = self.server.serve()
        self.peers, self.refusals, self.peak = [], 0, 0
        self.under_way, self.served, self.over = threading.Event(), threading.Event(), threading.Event()

    def peer(self, **options):
        self.peers.append(RawPeer(self.serving.address, **options))
        return self.peers[-1]

    def run(self, attack, rounds=1, hits=()):
        """attack is called with this and the number of the round, for so many rounds and until somebody was served.
        hits are the limits that stat must say were hit."""
        before = self.serving.memory
        with ThreadPoolExecutor() as pool:
            watch, assault = pool.submit(self._watch), pool.submit(self._assault, attack, rounds)
            self.under_way.wait()
            try:
                self.serve_somebody("meanwhile")
                self.served.set()
                assault.result()
                self.serve_somebody("afterwards")
                time.sleep(0.2)  # a last look at the memory
            finally:
                self.served.set()
                self.over.set()
                self._check_memory()
        watch.result()
        self._report(before, hits)

    def _assault(self, attack, rounds):
        number = 0
        try:
            while number < rounds or not self.served.is_set():
                try:
                    attack(self, number)
                except Refused as refused:
                    self.refusals += 1
                    if self.refusals < 4:
                        self.t.log(f"round {number}: {refused}")
                number += 1
                self.under_way.set()
        finally:
            self.under_way.set()
        self.t.log(f"{number} rounds, {self.refusals} of them refused")

    def serve_somebody(self, when):
        node = Node(self.t, f"honest-{when}")
        out = self.t.path("honest-out")
        words = ["block", "get", "-", "-o", out, "--peer", self.serving.address, "--timeout", "40s"]
        result = node.run(*words, stdin="\n".join(self.blocks).encode(), seconds=60)
        self.t.check(out.read_bytes() == b"".join(self.blocks.values()), f"somebody else was not served {when}")
        self.t.log(f"somebody else was served {when}: {result.seconds:.2f} s")

    def _watch(self):
        while not self.over.wait(0.02):
            self.peak = max(self.peak, self.serving.memory)
            if self.peak > 1 << 30:
                # It has failed, and need not take the machine with it.
                return self.serving.kill()

    def _check_memory(self):
        found = f"{self.peak >> 20} MiB resident, and the ceiling is {CEILING >> 20}"
        self.t.check(self.peak < CEILING + HEADROOM, found)

    def _report(self, before, hits):
        t, self.status = self.t, self.server.stat()
        log = self.serving.log_text
        t.log("resident MiB before, at most, at the end:", [n >> 20 for n in (before, self.peak, self.serving.memory)])
        t.log("lines logged:", len(log.splitlines()), "stat:", self.status)
        found = self.server.limit_hits()
        for name in hits:
            t.check(found.get(name, 0) > 0, f"the limit {name} was hit, and stat knows only of {found}")
        t.check(len(log.splitlines()) < 1000, f"{len(log.splitlines())} lines logged: a peer can fill the disk")
        for peer in self.peers:
            peer.close()
        t.eventually(lambda: not self.server.run("peers").lines, "all are gone")
        t.equal(self.serving.stop(), 0, "status of serve")


def many_wants(storm, number, held, **how):
    """100,000 wants, a thousand a message."""
    peer = storm.peer(credit=False)
    stream = peer.open()
    for at in range(0, 100_000, 1000):
        peer.send(stream, wantlist([want(cid, priority=at, **how) for cid in held(number, at)]))


def absent(number, at):
    return (made_up_cid(number * 100_000 + at + n) for n in range(1000))


@test("100,000 wants for what the node does not have", seconds=90)
def absent_wants(t):
    storm = Storm(t)
    storm.run(lambda *a: many_wants(*a, absent, dont_have=False), rounds=2, hits=["subscriptionsPerPeer"])


@test("100,000 wants whose answers are not read", seconds=90)
def unread_answers(t):
    storm = Storm(t)
    storm.run(lambda *a: many_wants(*a, absent, kind=WANT_HAVE), rounds=2)


@test("100,000 wants for what the node has, by many names for the same block, and nothing is read", seconds=90)
def held_wants(t):
    storm = Storm(t)
    digests = [dagpb.cid_bytes(cid)[2:] for cid in storm.blocks]

    def named(number, at):
        # The codec is what differs: the block is known by its hash.
        return (b"\x01" + varint(0x300000 + (at + n) // BLOCKS) + digests[n % BLOCKS] for n in range(1000))

    storm.run(lambda *a: many_wants(*a, named), rounds=2, hits=["wantsPerPeer"])


@test("messages of 4 MiB that are garbage", seconds=90)
def garbage(t):
    rubbish = os.urandom(MESSAGE)
    blocks = blocks_message([os.urandom((2 << 20) - 64) for _ in range(2)])
    crowded = wantlist([field(1, made_up_cid(0))] * 70_000)
    too_large = blocks_message([os.urandom((2 << 20) + 1)])
    messages = [
        varint(MESSAGE) + rubbish,  # bytes that are no message
        varint(MESSAGE + 1) + rubbish,  # announced as too long
        crowded,  # too many entries
        too_large,  # a block that nobody may send
        blocks,  # blocks that nobody asked for
        framed(field(99, rubbish[: MESSAGE - 8])),  # a field that nobody knows
        framed(field(1, b"") + field(4, field(1, made_up_cid(0))) * 60_000 + field(5, 1 << 30)),  # HAVEs for nothing
    ]
    storm = Storm(t)
    peer = storm.peer()

    def attack(storm, number):
        peer.send(peer.open(), messages[number % len(messages)])
        peer.pump(0.05)

    storm.run(attack, rounds=70, hits=["messageBytes", "entriesPerMessage", "blockBytes"])
    exchange = storm.status["exchange"]
    t.check(exchange["malformedMessages"] >= 30, f"{exchange['malformedMessages']} malformed messages counted")
    t.check(exchange["refusedBlocks"] >= 20, f"{exchange['refusedBlocks']} refused blocks counted")


@test("parts of messages of 4 MiB on hundreds of streams, of which the rest never comes", seconds=90)
def parts_of_messages(t):
    part = varint(MESSAGE) + os.urandom(250_000)
    storm = Storm(t)

    def attack(storm, number):
        peer = storm.peer()
        for _ in range(200):
            peer.send(peer.open(), part)
        peer.pump(0.05)

    storm.run(attack, rounds=4, hits=["incomingBytes"])


@test("wants and cancels in a storm", seconds=90)
def wants_and_cancels(t):
    storm = Storm(t)
    cids = [*map(dagpb.cid_bytes, storm.blocks), *map(made_up_cid, range(1000 - BLOCKS))]
    storms = [
        wantlist([want(cid) for cid in cids]),
        wantlist([cancel(cid) for cid in cids]),
        wantlist([want(cid, kind=WANT_HAVE) for cid in cids], full=True),
        wantlist([entry for cid in cids for entry in (want(cid), cancel(cid))]),
        wantlist([], full=True),
    ]
    peer = storm.peer()
    stream = peer.open()

    def attack(storm, number):
        for message in storms * 10:
            peer.send(stream, message)

    storm.run(attack, rounds=20)


@test("streams without end", seconds=90)
def streams(t):
    storm = Storm(t)
    peer = storm.peer().keep_reading()

    def attack(storm, number):
        for n in range(100):
            peer.open(negotiate=n % 2 == 0)
            time.sleep(0.001)

    storm.run(attack, rounds=20, hits=["inbound_streams"])
