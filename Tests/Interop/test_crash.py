"""kill -9 in the middle of storing: what was reported as stored is there and verifies."""

import os
import random
import time

import dagpb
from harness import read_line, test
from node import Node


def all_there(t, node, reported, blocks):
    """Every block that was reported as stored is there, and is what it should be. Returns all that are there."""
    listed = node.list()
    t.check(set(reported) <= set(listed), "block ls leaves out what was reported as stored")
    t.check(node.read(reported) == b"".join(blocks[cid] for cid in reported), "a block that was reported is another")
    return listed


@test("kill -9 while many blocks are put", seconds=180)
def while_putting(t):
    seed = random.SystemRandom().getrandbits(32)
    t.log(f"seed {seed}")
    rng = random.Random(seed)
    node = Node(t)
    blocks, everything = {}, []
    for round in range(6):
        files = []
        for number in range(300):
            data = rng.randbytes(rng.choice([100, 5_000, 200_000]))
            files.append(t.file(f"{round}-{number}", data))
            blocks[dagpb.cid_v1(data)] = data
        process = node.start(f"put{round}", "block", "put", *files)
        stop_after, reported = rng.randrange(1, 200), []
        while len(reported) < stop_after:
            reported.append(read_line(process, 20, "a CID"))
        time.sleep(rng.random() * 0.01)
        process.kill()
        # What it had still said before it died counts too.
        reported += (process.rest + process.stdout.read()).decode().split("\n")[:-1]
        process.wait()
        everything += reported
        listed = all_there(t, node, everything, blocks)
        t.check(set(listed) <= set(blocks), "there is a block that was never put")
        others = [cid for cid in listed if cid not in set(everything)]
        t.check(node.read(others) == b"".join(blocks[cid] for cid in others), "a block not yet reported is not whole")
        t.log(f"round {round}: killed after {len(reported)} of 300, {len(listed)} are there")
    again = node.run("block", "put", *files)
    t.equal(len(again.lines), 300, "blocks put after it all")


@test("kill -9 of a node that fetches, and of one that serves", seconds=120)
def while_fetching(t):
    server, node = Node(t, "server"), Node(t)
    blocks = {}
    for number in range(60):
        data = os.urandom(200_000)
        blocks[server.put(data)] = data
    serving = server.serve()
    cids = list(blocks)
    reported = []
    for number, cid in enumerate(cids[:40]):
        if number % 10 == 9:
            process = node.start(f"get{number}", "block", "get", cid, "--peer", serving.address, "-o", t.path("cut"))
            time.sleep(random.random() * 0.2)
            process.kill()
            process.wait()
        else:
            t.equal(node.get(cid, serving.address)[0], blocks[cid], "a block")
            reported.append(cid)
        if number == 20:
            serving.kill()
            serving = server.serve()
    for cid in set(node.list()) - set(reported):
        t.check(node.get(cid)[0] == blocks[cid], "a block that was being fetched is there, but not whole")
    all_there(t, node, reported, blocks)
    all_there(t, server, cids, blocks)
    t.equal(serving.stop(), 0, "status of serve")
