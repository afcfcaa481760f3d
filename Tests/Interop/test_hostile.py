"""Peers that lie. What they send is refused, said, and stored nowhere."""

import hashlib
import os
import select
import signal
import socket
import time

import dagpb
from dagpb import field
from harness import test
from node import NOT_FOUND, Node
from pylibp2p import PyLibp2p
from rawpeer import MULTISTREAM, WANT_HAVE, RawPeer, line, want, wantlist

PING, PING_BYTES = "/ipfs/ping/1.0.0", 32


def lied_to(t, lie):
    """Asks a liar alone, then a liar and an honest peer."""
    node, liar = Node(t), PyLibp2p(t, "liar", lie=lie)
    block = b"what was asked for: " + os.urandom(16)
    cid = dagpb.cid_v1(block)
    result = node.run(
        "block", "get", cid, "--timeout", "3s", "--peer", liar.address, "-o", t.path("lie"), code=NOT_FOUND
    )
    t.check(result.seconds < 15, f"it took {result.seconds:.0f} s to give up after 3 s")
    t.check(not t.path("lie").exists(), "the lie was written out")
    told = liar.told()
    t.check(told and told[0][1] == cid, f"the liar was not asked: {told}")
    t.contains(result.err, f"{liar.id} sent bytes", "who lied is reported")
    t.equal(node.list(), [], "what is stored")
    for _, asked, sent in told:
        t.check(not node.has(asked) and not node.has(sent), f"stored: {asked} or {sent}")

    t.log("alone with the liar", f"{result.seconds:.1f} s:", result.err.strip())
    honest = PyLibp2p(t, "honest", port=4202)
    t.equal(honest.put(block), cid, "the CID")
    got, answer = node.get(cid, liar.address, honest.address, timeout="30s")
    t.log("with an honest peer too:", answer)
    t.equal((got, answer["peer"]), (block, honest.id), "the block, and the peer it came from")
    t.equal(node.list(), [cid], "what is stored")


@test("bytes that do not match the CID are refused, reported, never stored")
def altered(t):
    lied_to(t, "altered")


@test("the same in the field of Bitswap 1.0.0")
def unprefixed(t):
    lied_to(t, "unprefixed")


@test("a prefix that names a hash which any bytes satisfy is refused")
def identity(t):
    lied_to(t, "identity")


@test("a CID in the place of its prefix is refused")
def whole_cid(t):
    lied_to(t, "whole cid")


@test("a frame that is no message is refused")
def garbage(t):
    lied_to(t, "garbage")


@test("a block that nobody asked for is refused, reported, never stored")
def unasked(t):
    node, stranger = Node(t), PyLibp2p(t, "stranger")
    held = node.put(b"held from the start")
    serving = node.serve()
    stranger.connect(serving.address)
    pushed = [stranger.push(serving.id, b"nobody asked for this: " + os.urandom(16)) for _ in range(3)]
    t.equal(stranger.get(held, serving.id)[0], b"held from the start", "what it asks for it gets all the same")
    t.eventually(lambda: stranger.id in serving.log_text, "serve reports who sent what nobody asked for")
    t.equal(node.stat()["exchange"]["refusedBlocks"], 3, "blocks refused, as stat counts")
    for cid in pushed:
        t.check(not node.has(cid), f"stored: {cid}")
    t.equal(node.list(), [held], "what is stored")
    t.equal(serving.stop(), 0, "status of serve")


@test("a crowd that connects and says nothing is shown out, and others are served")
def crowd(t):
    node, peer = Node(t), PyLibp2p(t)
    cid = node.put(b"for those who speak")
    serving = node.serve()
    port = int(serving.address.split("/")[4])
    mute = [socket.create_connection(("127.0.0.1", port), 10, ("127.0.0.2", 0)) for _ in range(300)]
    left = list(mute)

    def all_closed():
        # Readable and not talking: the node's side of the handshake is its greeting, then the end.
        for one in select.select(left, [], [], 0.2)[0]:
            try:
                over = not one.recv(4096)
            except ConnectionError:
                over = True
            if over:
                left.remove(one)
        return not left

    t.eventually(all_closed, "every connection that says nothing is closed", seconds=25)
    peer.connect(serving.address)
    t.equal(peer.get(cid, serving.id)[0], b"for those who speak", "the block, for one who speaks")
    t.equal(len(node.run("peers").lines), 1, "connections at the end")
    t.equal(serving.stop(), 0, "status of serve")


@test("a crowd from one address that says nothing leaves room for those from others")
def crowd_from_one_address(t):
    node, honest = Node(t), Node(t, "honest")
    cid = node.put(b"for those who come from elsewhere")
    serving = node.serve(listen="/ip4/0.0.0.0/tcp/0")
    port = int(serving.address.split("/")[4])
    # More than may be in their handshake at once, from all addresses together.
    mute = [socket.create_connection(("127.0.0.1", port), 10, ("127.0.0.2", 0)) for _ in range(130)]
    address = f"/ip4/127.0.0.1/tcp/{port}/p2p/{serving.id}"
    got, told = honest.get(cid, address)
    t.equal((got, told["peer"]), (b"for those who come from elsewhere", serving.id), "the block, and who sent it")
    t.log(f"the block came after {told['milliseconds']} ms")
    for one in mute:
        one.close()
    t.equal(serving.stop(), 0, "status of serve")


@test("64 MiB of pings, of which one byte is always left over, are echoed and not kept", seconds=180)
def endless_ping(t):
    serving = Node(t).serve()
    peer = RawPeer(serving.address)
    stream, pings = peer.open(PING), os.urandom(64 << 10)
    echoed = len(line(MULTISTREAM) + line(PING)) + PING_BYTES
    peer.send(stream, os.urandom(PING_BYTES + 1))
    peer.read_until(echoed, stream=stream)
    before = peak = serving.memory
    for _ in range(1024):
        # All echoes are read before more is sent: nothing is on its way when the memory is looked at.
        peer.send(stream, pings)
        echoed += len(pings)
        peer.read_until(echoed, stream=stream)
        peak = max(peak, serving.memory)
    t.equal(peer.came[stream], echoed, "bytes that came: all but the one left over")
    t.log("resident MiB before, at most:", [round(n / (1 << 20), 1) for n in (before, peak)])
    t.check(peak - before < 16 << 20, f"64 MiB of pings made the node grow by {(peak - before) >> 20} MiB")
    peer.close()
    t.equal(serving.stop(), 0, "status of serve")


@test("a want under a CID that is longer than most is answered, once, and costs next to nothing", seconds=90)
def long_cid(t):
    serving = Node(t).serve()
    peer = RawPeer(serving.address, keep=True).keep_reading()
    cid = b"\x01\x55\x13\x40" + hashlib.sha512(b"nobody has this").digest()
    peer.send(peer.open(), wantlist([want(cid, kind=WANT_HAVE)]))
    dont_have = field(4, field(1, cid) + field(2, 1))
    t.eventually(lambda: dont_have in peer.kept, "the node says DONT_HAVE", seconds=20)
    before = serving.processor_seconds
    time.sleep(2)
    spent = serving.processor_seconds - before
    t.check(spent < 0.5, f"{spent:.2f} s of the processor's time in the 2 s after the answer")
    t.equal(peer.kept.count(dont_have), 1, "how often it said so")
    t.equal(serving.stop(signal.SIGTERM, seconds=20), 0, "status of serve")
    peer.close()
