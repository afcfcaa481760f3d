"""A file of random bytes that many peers exchange, and its fetch by one of ours."""

import json
import os

import dagpb

FILE = 64 << 20


class File:
    """A file of random bytes, and its blocks as Kubo makes them."""

    def __init__(self, t, size=FILE):
        self.data = os.urandom(size)
        self.blocks = {dagpb.cid_v0(block): block for block in dagpb.blocks_of_file(self.data)}
        cids, count = list(self.blocks), -(-size // dagpb.CHUNK)
        self.leaves, self.nodes, self.root = cids[:count], cids[count:], cids[-1]
        self.t, self.parts = t, 0

    def add(self, kubo, first=0, end=FILE):
        """Adds a part of it, whose ends are those of chunks, to Kubo: the leaves are those of the whole."""
        self.parts += 1
        path = self.t.file(f"part{self.parts}", self.data[first:end])
        kubo.add(path)
        path.unlink()

    def put(self, node, cids=None):
        """Stores blocks of it, all by default, in our node."""
        paths = [self.t.file(f"block-{cid}", self.blocks[cid]) for cid in cids or self.blocks]
        node.run("block", "put", *paths)
        for path in paths:
            path.unlink()

    def third(self, number):
        return self.leaves[number * 85 : number * 85 + 85 if number < 2 else None]


def fetch(t, node, file, *peers, timeout="60s"):
    """Fetches all leaves with one command, checks that they are the file, and returns what it says of each and
    the seconds that it took."""
    words = [word for peer in peers for word in ("--peer", peer)]
    out = t.path(f"{node.name}-leaves")
    result = node.run(
        "block",
        "get",
        "-",
        "--json",
        "--verbose",
        "-o",
        out,
        "--timeout",
        timeout,
        *words,
        stdin="\n".join(file.leaves).encode(),
        seconds=120,
    )
    leaves = out.read_bytes()
    out.unlink()
    t.check(leaves == b"".join(file.blocks[cid] for cid in file.leaves), "the leaves are not those of the file")
    t.log(f"{node.name}:", f"{result.seconds:.2f} s,", result.err.strip().replace("\n", "; "))
    return [json.loads(line) for line in result.lines], result.seconds
