"""Standard input and output that others hold open, the file that a block is written to, and a peer named in vain."""

import array
import fcntl
import os
import signal
import stat
import subprocess
import termios

from harness import test
from node import FAILED, Node
from rawpeer import RawPeer

NOBODY = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
PIPE = 4096  # the least that a pipe holds


def unread(process):
    """Bytes that wait in the pipe which is the process's standard output."""
    count = array.array("i", [0])
    fcntl.ioctl(process.stdout, termios.FIONREAD, count)
    return count[0]


@test("serve --json ends on SIGTERM though nobody reads what it prints", seconds=120)
def unread_events(t):
    node = Node(t)
    serving = node.serve()
    fcntl.fcntl(serving.process.stdout, fcntl.F_SETPIPE_SZ, PIPE)
    for _ in range(40):  # two lines each, of more than a hundred bytes
        RawPeer(serving.address).close()
    t.eventually(lambda: unread(serving.process) > PIPE - 512, "the pipe is full", seconds=20)
    # The lines that found no room wait by now.
    t.eventually(lambda: node.run("peers").lines == [], "all of them are gone", seconds=20)
    t.equal(serving.stop(signal.SIGTERM, seconds=20), 0, "status of serve")


@test("a put that cannot read a file does not wait for standard input")
def missing_beside_input(t):
    node = Node(t)
    command = [t.bitswap, "block", "put", t.path("missing"), "-"]
    put = t.start("put", command, node.environment, stdin=subprocess.PIPE)
    t.eventually(lambda: put.poll() is not None, "it ends while standard input is open", seconds=20)
    t.equal(put.returncode, FAILED, "status of put")
    t.equal(put.stdout.read(), b"", "what it prints")
    said = put.log_path.read_text()
    t.contains(said, f"cannot read {t.path('missing')}", "what it says")
    t.equal(len(said.splitlines()), 1, f"lines on standard error: {said!r}")


@test("a peer that cannot be reached does not keep a running node from asking those that it has")
def dead_peer(t):
    one, two = Node(t, "one"), Node(t, "two")
    first, second = one.serve(), two.serve()
    one.run("connect", second.address)
    for address in ("/ip4/127.0.0.1/tcp/9", f"/ip4/127.0.0.1/tcp/9/p2p/{NOBODY}"):
        data = os.urandom(5_000)
        result = one.run("block", "get", two.put(data), "--peer", address, "--timeout", "30s")
        t.equal(result.out, data, f"the block, with {address}")
        t.equal(len(result.err.strip().splitlines()), 1, f"lines on standard error: {result.err!r}")
        t.contains(result.err, "/tcp/9", "what it warns of")
    t.equal([first.stop(), second.stop()], [0, 0], "statuses of serve")


@test("the file that a block is written to keeps its mode, and a link to it stays a link")
def output_file(t):
    node, data = Node(t), os.urandom(5_000)
    cid = node.put(data)
    places = t.path("places")
    places.mkdir()
    file, link = places / "file", places / "link"
    link.symlink_to("file")
    for mode in (0o600, 0o640, 0o755):
        for path in (file, link):
            file.write_bytes(b"what was there")
            file.chmod(mode)
            node.run("block", "get", cid, "-o", path)
            t.check(link.is_symlink(), "the link has become a file")
            t.equal(os.readlink(link), "file", "what the link leads to")
            t.equal(file.read_bytes(), data, f"the file, written as {path.name}")
            t.equal(oct(stat.S_IMODE(file.stat().st_mode)), oct(mode), f"its mode, written as {path.name}")
    t.equal(sorted(os.listdir(places)), ["file", "link"], "the files that are there")
