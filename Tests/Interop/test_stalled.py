"""Peers that want everything and take nothing, and a healthy one beside them."""

from files import FILE, File, fetch
from harness import test
from node import CEILING, HEADROOM, Node
from rawpeer import RawPeer, want, wantlist

STALL_AT = 128 * 1024


def deaf(address, file):
    """Gives its stream all the window that there is, and stops reading from its socket in the first block."""
    peer = RawPeer(address, window=16 << 20)
    ask(peer, file)
    peer.read_until(STALL_AT)
    return peer


def shut(address, file):
    """Reads, and answers pings, but gives nothing back to its stream's window."""
    peer = RawPeer(address, credit=False)
    ask(peer, file)
    peer.read_until(STALL_AT)
    return peer.keep_reading()


def ask(peer, file):
    peer.send(peer.open(), wantlist([want(cid) for cid in file.leaves], full=True))


def beside(t, kinds, size=FILE):
    """Fetches the file from a node with nobody else there, and again beside the stalled peers."""
    server, file = Node(t, "server"), File(t, size)
    file.put(server)
    serving = server.serve()
    speeds, memory = [], []
    for name, count in (("alone", 0), ("beside", len(kinds))):
        stalled = [kind(serving.address, file) for kind in kinds[:count]]
        t.eventually(lambda: len(server.run("peers").lines) == count, "the stalled peers, and no others, are connected")
        told, seconds = fetch(t, Node(t, name), file, serving.address)
        t.equal({line["source"] for line in told}, {"network"}, "where the blocks came from")
        speeds.append(round(size / 1e6 / seconds, 1))
        memory.append(serving.memory >> 20)
    t.log(f"MB/s alone, and beside {len(stalled)} stalled peers: {speeds}; MiB resident after each: {memory}")
    t.log(f"{sum(not peer.ended for peer in stalled)} of them are still connected; stat: {server.stat()}")
    t.check(serving.memory < CEILING + HEADROOM, "the node keeps more for the stalled peers than its ceiling")
    for peer in stalled:
        peer.close()
    t.eventually(lambda: not server.run("peers").lines, "all are gone")
    t.equal(serving.stop(), 0, "status of serve")


@test("64 MiB beside one peer that stops reading", seconds=90)
def one_deaf(t):
    beside(t, [deaf])


@test("64 MiB beside one peer that opens no window", seconds=90)
def one_shut(t):
    beside(t, [shut])


@test("64 MiB beside twenty stalled peers", seconds=120)
def twenty(t):
    beside(t, [deaf, shut] * 10)
