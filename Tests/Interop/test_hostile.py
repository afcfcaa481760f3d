"""Peers that lie. What they send is refused, said, and stored nowhere."""

import os
import select
import socket

import dagpb
from harness import test
from node import NOT_FOUND, Node
from pylibp2p import PyLibp2p


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
