"""What bitswap bench prints and draws, and how it is interrupted."""

import json
import math
import os
import signal
from pathlib import Path
from xml.etree import ElementTree

from harness import test
from node import Node

SVG = "{http://www.w3.org/2000/svg}"
SECURITIES = ["tls", "noise"]
PERCENTILES = {"p50", "p90", "p99", "max"}
MACHINE = {"event", "processors", "processor", "system", "version", "durability"}
COSTS = {"memoryCopy", "storeRead", "seal", "socketSend", "socketReceive", "open", "hash", "storeWrite"}
PRIMITIVES = COSTS | {"event", "blockSize", "security", "server", "client", "ceilingBytesPerSecond"}
FIGURES = {"seconds", "bytesPerSecond", "blocksPerSecond", "ceilingBytesPerSecond", "shareOfCeiling", "slowestOfMean"}
TRANSFER = FIGURES | {
    "event",
    "blockSize",
    "security",
    "connections",
    "blocks",
    "server",
    "client",
    "timeToBlockMilliseconds",
    "connectMilliseconds",
    "bytesPerIdleConnection",
}
SIDE = {"nanosecondsPerByte", "peakBytes", "privatePeakBytes", "allocationsPerBlock", "copiesPerByte"}
TIMES = {"openMilliseconds", "openOnLoopMilliseconds", "bareMilliseconds", "coldMilliseconds"}


class Bench:
    """A benchmark's surroundings: a directory for what it makes, and the processes that it starts."""

    def __init__(self, t):
        self.t, self.temporary, self.plot = t, t.path("temporary"), t.path("plot.svg")
        self.temporary.mkdir()
        self.node = Node(t, init=False)
        self.node.environment["TMPDIR"] = str(self.temporary)

    def words(self, *more):
        return ["bench", "--block-size", "1k", "--connections", "1", "--json", "--plot", self.plot, *more]

    def run(self, *more, seconds=110):
        result = self.node.run(*self.words(*more), seconds=seconds)
        self.t.equal(self.left, ([], []), "processes and files that it leaves")
        # NaN and infinity are no JSON.
        return [json.loads(line, parse_constant=self.reject) for line in result.lines]

    def reject(self, constant):
        self.t.check(False, f"it prints {constant}")

    @property
    def left(self):
        return self.sides, os.listdir(self.temporary)

    @property
    def sides(self):
        """The processes of the two sides: the test has a process table of its own."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word in (b"bench-server", b"bench-client") for word in words):
                found.append(words[1].decode())
        return sorted(found)


def positive(t, line, names, what):
    for name in sorted(names):
        value = line[name]
        t.check(isinstance(value, (int, float)) and 0 < value < math.inf, f"{what}: {name} is {value!r}")


def percentiles(t, times, what):
    t.equal(set(times), PERCENTILES, f"{what}: its fields")
    positive(t, times, PERCENTILES, what)
    t.check(times["p50"] <= times["p90"] <= times["p99"] <= times["max"], f"{what}: {times}")


@test("bench prints every figure as JSON, and draws the shares", seconds=120)
def figures(t):
    bench = Bench(t)
    lines = bench.run("--bytes", "64k", "--no-latency")
    t.equal([line["event"] for line in lines], ["machine"] + ["primitives"] * 2 + ["transfer"] * 2, "the events")
    machine, primitives, transfers = lines[0], lines[1:3], lines[3:]
    t.equal(set(machine), MACHINE, "the fields of the machine")
    t.equal((machine["processors"], machine["durability"]), (os.cpu_count(), "synced"), "what it says of them")
    t.check(machine["system"] and machine["version"], f"the machine: {machine}")
    t.equal([line["security"] for line in primitives], SECURITIES, "what the parts are told for")
    for line in primitives:
        what = f"the parts with {line['security']}"
        t.equal(set(line), PRIMITIVES, f"{what}: their fields")
        t.equal(line["blockSize"], 1024, what)
        positive(t, line, COSTS | {"server", "client", "ceilingBytesPerSecond"}, what)
    t.equal([line["security"] for line in transfers], SECURITIES, "what was run")
    for line, parts in zip(transfers, primitives):
        what = f"the run with {line['security']}"
        t.equal(set(line), TRANSFER, f"{what}: its fields")
        t.equal([line[name] for name in ("blockSize", "connections", "blocks")], [1024, 1, 64], what)
        positive(t, line, FIGURES | {"connectMilliseconds"}, what)
        t.equal(line["bytesPerIdleConnection"], None, f"{what}: of one connection it cannot be told")
        t.equal(line["ceilingBytesPerSecond"], parts["ceilingBytesPerSecond"], f"{what}: its ceiling")
        share = line["bytesPerSecond"] / line["ceilingBytesPerSecond"]
        t.check(math.isclose(line["shareOfCeiling"], share, rel_tol=1e-6), f"{what}: a share of {share}: {line}")
        rate = line["blocks"] * line["blockSize"] / line["seconds"]
        t.check(math.isclose(line["bytesPerSecond"], rate, rel_tol=1e-6), f"{what}: {rate} bytes a second: {line}")
        percentiles(t, line["timeToBlockMilliseconds"], f"{what}: the time to a block")
        for side in ("server", "client"):
            t.equal(set(line[side]), SIDE, f"{what}: fields of the {side}")
            positive(t, line[side], {"nanosecondsPerByte", "peakBytes", "privatePeakBytes"}, f"{what}: the {side}")
            counted = [line[side][name] for name in ("allocationsPerBlock", "copiesPerByte")]
            t.equal(counted, [None, None], f"{what}: what is counted without --counter")
    drawn(t, bench.plot, 2, "1 KiB")


def drawn(t, path, count, size):
    """The plot has as many lines, with a point each inside the picture, and the size below them."""
    root = ElementTree.parse(path).getroot()
    t.equal(root.tag, f"{SVG}svg", "the root of the drawing")
    width, height = float(root.get("width")), float(root.get("height"))
    points = [(float(point.get("cx")), float(point.get("cy"))) for point in root.iter(f"{SVG}circle")]
    t.equal((len(points), len(list(root.iter(f"{SVG}polyline")))), (count, count), "points and lines")
    t.check(all(0 < x < width and 0 < y < height for x, y in points), f"points outside of the picture: {points}")
    texts = [text.text for text in root.iter(f"{SVG}text")]
    t.check(size in texts, f"no {size} below the points: {texts}")
    for security in SECURITIES:
        t.check(f"{security}, 1" in texts, f"no line is named {security}: {texts}")


@test("bench tells how long one small block takes", seconds=120)
def latency(t):
    lines = Bench(t).run("--bytes", "64k")
    told = [line for line in lines if line["event"] == "latency"]
    t.equal([(line["security"], line["blockSize"]) for line in told], [(name, 29) for name in SECURITIES], "of what")
    for line in told:
        t.equal(set(line), TIMES | {"event", "blockSize", "security"}, "the fields of a latency")
        for name in TIMES:
            percentiles(t, line[name], f"{name} with {line['security']}")


@test("Ctrl-C in the middle of bench ends it, its processes and its directory", seconds=120)
def interrupted(t):
    bench = Bench(t)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Of many runs one is under way.
        running = bench.node.start("bench", *bench.words("--bytes", "16m", "--runs", "50", "--no-latency"))
        t.eventually(lambda: bench.sides == ["bench-client", "bench-server"], "both sides run", seconds=45)
        t.check(bench.left[1], "there is no temporary directory while it runs")
        running.send_signal(number)
        t.equal(running.wait(20), 128 + number, f"status after {number.name}")
        t.eventually(lambda: bench.left == ([], []), "what it made and started is gone")
        t.check(not bench.plot.exists(), "there is a drawing of what was not measured")
