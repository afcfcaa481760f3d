"""kill -9 of a node that serves, halfway through a fetch from it, and its start on the same address: the fetch goes on."""

import json
import time

from files import File
from harness import read_line, test
from kubo import Kubo
from node import Node

MEGABITS = 160  # 64 MiB take more than three seconds
LEAST, TIME = 64, 60


class Fetch:
    """`block get` of all leaves of a file, which tells of each as it comes."""

    def __init__(self, t, node, file, *peers):
        self.t, self.node, self.file = t, node, file
        cids = t.file("cids", "\n".join(file.leaves).encode())
        words = [word for peer in peers for word in ("--peer", peer)]
        command = [t.bitswap, "block", "get", "-", "--no-mdns", "--json", "--timeout", f"{TIME}s", *words]
        self.process = t.start("get", command, node.environment, stdin=cids.open())
        self.lines = []

    def read(self, count, seconds):
        while len(self.lines) < count:
            self.lines.append(json.loads(read_line(self.process, seconds, f"block {len(self.lines)} of {count}")))

    def halfway(self):
        self.read(LEAST, 30)
        self.t.check(self.process.poll() is None, "it has ended before the server was killed")

    def finish(self):
        """Everything comes, each block once and in order, and the status is 0."""
        self.read(len(self.file.leaves), TIME)
        self.t.equal(self.process.wait(TIME), 0, "status of block get")
        self.t.equal([line["cid"] for line in self.lines], self.file.leaves, "what it says to have fetched")
        data = self.node.read(self.file.leaves)
        self.t.check(data == b"".join(self.file.blocks[cid] for cid in self.file.leaves), "the leaves kept are others")


def resumes(t, serve, fetch_from):
    """serve starts the server, as often as it is called on the same address, and returns it."""
    server = serve()
    t.slow_down(MEGABITS)
    fetch = fetch_from(server)
    fetch.halfway()
    server.kill()
    held = len(fetch.node.list())
    t.log(f"killed, with {held} of {len(fetch.file.leaves)} blocks fetched")
    t.check(held < len(fetch.file.leaves), "everything was fetched before the server was killed")
    time.sleep(1)  # for the client to see it gone, and to find nobody there at first
    again = serve()
    t.log("started again")
    fetch.finish()
    t.log("all is there")
    return again


def ours(t, running):
    server, node, file = Node(t, "server"), Node(t), File(t)
    file.put(server)
    listen, others = "/ip4/127.0.0.1/tcp/4001", []

    def serve():
        return server.serve(listen=listen)

    def fetch_from(serving):
        if not running:
            return Fetch(t, node, file, serving.address)
        others.append(node.serve("--peer", serving.address))
        t.eventually(lambda: node.run("peers").lines, "they are connected")
        return Fetch(t, node, file)

    for serving in [resumes(t, serve, fetch_from), *others]:
        t.equal(serving.stop(), 0, "status of serve")


@test("a fetch from ours goes on when it comes back", seconds=120)
def from_ours(t):
    ours(t, running=False)


@test("the fetch of a node that serves, from ours, goes on when it comes back", seconds=120)
def from_ours_running(t):
    ours(t, running=True)


@test("a fetch from Kubo goes on when it comes back", seconds=120)
def from_kubo(t):
    node, file = Node(t), File(t)
    file.add(Kubo(t))
    t.stop_all()
    resumes(t, lambda: Kubo(t), lambda kubo: Fetch(t, node, file, kubo.address))
