"""A machine with a single processor."""

import os
import random
import re
from pathlib import Path

import dagpb
from harness import test
from node import Node

ONE = ("taskset", "--cpu-list", "0")


def loops(process):
    """Threads of the process that run event loops."""
    names = [(task / "comm").read_text() for task in Path(f"/proc/{process.pid}/task").iterdir()]
    return sum(bool(re.match(r"NIO-SGLTN-\d+-#", name)) for name in names)


def single(t, name):
    node = Node(t, name, inside=ONE)
    # Threads for tasks are as many as the processors that the process may use; event loops, as those that the machine has.
    node.environment["NIO_SINGLETON_GROUP_LOOP_COUNT"] = "1"
    return node


@test("blocks of all sizes go both ways between two nodes that share one core", seconds=120)
def exchange(t):
    sizes = random.Random(1).choices([0, 1, 29, 300, 4_000, 60_000, 262_144], k=300) + [1 << 20, 2 << 20]
    nodes = [single(t, name) for name in ("one", "two")]
    held = []
    for node in nodes:
        blocks = {dagpb.cid_v1(data): data for data in map(os.urandom, sizes)}
        paths = [t.file(f"{node.name}-{number}", data) for number, data in enumerate(blocks.values())]
        t.equal(node.run("block", "put", *paths).lines, list(blocks), "the CIDs of what was put")
        held.append(blocks)
    one, two = (node.serve() for node in nodes)
    for serving in (one, two):
        t.equal(os.sched_getaffinity(serving.process.pid), {0}, "the cores of serve")
        t.equal(loops(serving.process), 1, "its event loops")
    # Each asks the other for everything at the same time: the running nodes fetch.
    nodes[0].run("connect", two.address)
    getting = []
    for node, blocks in zip(nodes, reversed(held)):
        out = t.path(f"{node.name}-fetched")
        words = ["block", "get", *blocks, "-o", out, "--timeout", "60s"]
        getting.append((node.start("get", *words), blocks, out))
    for process, blocks, out in getting:
        t.equal(process.wait(90), 0, f"status of {process.name}")
        t.check(out.read_bytes() == b"".join(blocks.values()), f"{process.name}: other bytes than were put")
    # And a node of its own, which no other process runs.
    alone = single(t, "alone")
    result = alone.run("block", "get", "-", "--peer", one.address, stdin="\n".join(held[0]).encode())
    t.check(result.out == b"".join(held[0].values()), "a get without serve: other bytes than were put")
    t.equal([one.stop(), two.stop()], [0, 0], "statuses of serve")
