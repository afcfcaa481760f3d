#!/usr/bin/env python3
"""The same blocks from one node to another, with Kubo, py-libp2p and ours on either side: one table of ratios.

    run.py --bitswap PATH [--rounds N] [--mebibytes N] [--small-mebibytes N] [--json]

A file of random bytes, as Kubo makes it: dag-pb leaves of 256 KiB, and a second one with leaves of 1 KiB. Every node that
fetches begins with an empty store and verifies and keeps every block. Kubo fetches by pinning the root, so it finds the CIDs
on its way; ours and py-libp2p are given all of them at once. py-libp2p keeps blocks in memory, and gets a part of the file.
Connections are secured by TLS, which Kubo prefers, where nothing else is said, and those of py-libp2p by Noise.
What is told is the median of the rounds, which go through all pairs in turn, on loopback in a network namespace.

Kubo is 0.22 (with its flatfs synced or not, as said), for want of a later one that can be had as a wheel.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INTEROP = Path(__file__).resolve().parents[2] / "Tests" / "Interop"
sys.path.insert(0, str(INTEROP))

import dagpb  # noqa: E402
import harness  # noqa: E402
import run as interop  # noqa: E402
from kubo import Kubo  # noqa: E402
from node import Node  # noqa: E402
from pylibp2p import PyLibp2p  # noqa: E402

# py-libp2p takes seconds for a mebibyte, and its pipe to here is slower still.
PYTHON_PART = {256 << 10: 16 << 20, 1 << 10: 1 << 20}
SECONDS = 900
QUIET = {"GOLOG_LOG_LEVEL": "error"}
BASE = "Kubo -> Kubo, not synced"


class File:
    """A file's blocks, and the first of them as py-libp2p gets them."""

    def __init__(self, case, size, chunk):
        self.chunk = chunk
        self.name = f"{chunk >> 10} KiB"
        blocks = dagpb.blocks_of_file(os.urandom(size), chunk)
        self.blocks = {dagpb.cid_v0(block): block for block in blocks}
        self.root = list(self.blocks)[-1]
        self.list = self.listed(case, "all", self.blocks)
        self.some = dict(list(self.blocks.items())[: PYTHON_PART[chunk] // chunk])
        self.some_list = self.listed(case, "some", self.some)

    def listed(self, case, name, cids):
        return case.file(f"{name}-{self.chunk}", "".join(f"{cid}\n" for cid in cids).encode())

    @staticmethod
    def bytes(blocks):
        return sum(map(len, blocks.values()))


class Race:
    def __init__(self, case, file):
        self.case, self.file = case, file
        self.seconds = {}
        self.number = 0

    def name(self, text):
        self.number += 1
        return f"{text}-{self.file.chunk}-{self.number}"

    def timed(self, pair, seconds, blocks=None):
        blocks = blocks or self.file.blocks
        rate = File.bytes(blocks) / seconds / 1e6
        self.seconds.setdefault(pair, []).append((seconds, len(blocks), File.bytes(blocks)))
        told = f"{self.file.name}: {pair}: {rate:.1f} MB/s, {len(blocks) / seconds:.0f} blocks/s"
        print(told, file=sys.stderr, flush=True)

    # The sides

    def kubo(self, sync=False):
        self.number += 1
        return Kubo(self.case, self.name("kubo"), port=4101 + self.number, sync=sync, log=QUIET)

    def kubo_fetches(self, pair, address, sync=False):
        kubo = self.kubo(sync)
        kubo.connect(address)
        began = time.monotonic()
        kubo.pin(self.file.root, seconds=SECONDS)
        self.timed(pair, time.monotonic() - began)
        return kubo

    def we_fetch(self, pair, address, durability, security="tls", cids=None, blocks=None):
        store = self.case.path(self.name("store"))
        words = ["--store", store, "--cids", cids or self.file.list, "--address", address, "--durability", durability]
        process = self.case.start(
            self.name("client"),
            [self.case.bitswap, "bench-client", *words, "--security", security],
            stdin=subprocess.PIPE,
        )
        harness.read_line(process, 60, "that it is connected")
        process.stdin.write(b"fetch\n")
        process.stdin.flush()
        line = harness.read_line(process, SECONDS, "that it has fetched")
        found = dict(word.split("=") for word in line.split()[1:])
        blocks = blocks or self.file.blocks
        wanted = (len(blocks), File.bytes(blocks))
        self.case.equal((int(found["blocks"]), int(found["bytes"])), wanted, "what is stored in the end")
        self.timed(pair, float(found["wall"]) / 1e9, blocks)
        process.stdin.close()
        process.wait(10)
        remove(store)

    def forget(self, peer):
        peer.kill()
        remove(self.case.path(peer.name))

    # The pairs

    def run(self, node):
        serving = node.serve()
        for durability, told in (("unsynced", "not synced"), ("synced", "synced")):
            self.we_fetch(f"bitswap -> bitswap, {told}", serving.address, durability)
            self.we_fetch(f"bitswap -> bitswap, {told}, Noise", serving.address, durability, "noise")
        source = self.kubo_fetches("bitswap -> Kubo, not synced", serving.address)
        self.forget(self.kubo_fetches("bitswap -> Kubo, synced", serving.address, sync=True))
        for durability, told in (("unsynced", "not synced"), ("synced", "synced")):
            self.we_fetch(f"Kubo -> bitswap, {told}", source.address, durability)
        self.forget(self.kubo_fetches("Kubo -> Kubo, not synced", source.address))
        self.forget(self.kubo_fetches("Kubo -> Kubo, synced", source.address, sync=True))
        self.forget(source)
        self.with_python(serving)
        self.case.equal(serving.stop(), 0, "status of serve")

    def with_python(self, serving):
        python = PyLibp2p(self.case, self.name("python"), port=4300 + self.number)
        python.connect(serving.address)
        began = time.monotonic()
        python.get_from_all(list(self.file.some), SECONDS)
        count = python.answer("get_from_all", SECONDS)
        self.case.equal(count, len(self.file.some), "blocks in py-libp2p")
        self.timed("bitswap -> py-libp2p", time.monotonic() - began, self.file.some)
        python.kill()
        python = PyLibp2p(self.case, self.name("python"), port=4300 + self.number)
        for cid, block in self.file.some.items():
            python.put(block, codec=dagpb.DAG_PB, cid=cid)
        self.we_fetch(
            "py-libp2p -> bitswap, synced",
            python.address,
            "synced",
            "noise",
            cids=self.file.some_list,
            blocks=self.file.some,
        )
        python.kill()


def remove(path):
    subprocess.run(["rm", "-rf", path], check=True)


def report(races, as_json):
    for race in races:
        medians = {}
        for pair, runs in race.seconds.items():
            seconds = statistics.median(run[0] for run in runs)
            medians[pair] = (runs[0][2] / seconds, runs[0][1] / seconds, len(runs))
        base = medians[BASE]
        if as_json:
            for pair, (rate, blocks, rounds) in medians.items():
                line = {"leafBytes": race.file.chunk, "pair": pair, "bytesPerSecond": rate, "blocksPerSecond": blocks}
                line |= {"ofKuboToKubo": blocks / base[1], "rounds": rounds}
                print(json.dumps(line))
            continue
        print(f"\nblocks of {race.file.name}{'':24}       MB/s    blocks/s  times Kubo to Kubo")
        for pair, (rate, blocks, _) in medians.items():
            print(f"{pair:36}  {rate / 1e6:10.1f}  {blocks:10.0f}  {blocks / base[1]:18.2f}")


def race(options, directory):
    case = harness.Case(directory, options.bitswap)
    try:
        races = []
        for size, chunk in ((options.mebibytes << 20, 256 << 10), (options.small_mebibytes << 20, 1 << 10)):
            if size == 0:
                continue
            races.append(Race(case, File(case, size, chunk)))
            node = Node(case, f"node-{chunk}")
            put(case, node, races[-1].file)
            for _ in range(options.rounds):
                races[-1].run(node)
            remove(node.repository)
        report(races, options.json)
    finally:
        case.stop_all()


def put(case, node, file):
    """Stores all blocks in our node, some at a time."""
    blocks = list(file.blocks.values())
    for start in range(0, len(blocks), 1024):
        paths = [case.file(f"block-{n}", block) for n, block in enumerate(blocks[start : start + 1024])]
        node.run("block", "put", *paths, seconds=SECONDS)
        for path in paths:
            path.unlink()


def main():
    parser = argparse.ArgumentParser(description="our node, Kubo and py-libp2p side by side")
    parser.add_argument("--bitswap", required=True, type=os.path.abspath, help="the binary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mebibytes", type=int, default=256, help="size of the file with leaves of 256 KiB")
    parser.add_argument("--small-mebibytes", type=int, default=16, help="size of the file with leaves of 1 KiB")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        race(options, options.inside)
        sys.stdout.flush()
        os._exit(0)
    with tempfile.TemporaryDirectory(prefix="bitswap-peers-") as directory:
        again = [*sys.argv[1:], "--bitswap", options.bitswap, "--inside", directory]
        command = [*interop.namespace(), sys.executable, os.path.abspath(__file__), *again]
        return subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
