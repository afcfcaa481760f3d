"""Our node and py-libp2p, a second and independent implementation."""

import os

import dagpb
from harness import test
from node import Node
from pylibp2p import BITSWAP, PyLibp2p


def fetched_in(t, protocol):
    node, peer = Node(t), PyLibp2p(t, protocols=[protocol])
    hello, large = b"Hello Bitswap from Rust Helia", os.urandom(256 * 1024)
    many = [os.urandom(1000 + n) for n in range(50)]
    cids = [node.put(block) for block in (hello, large, *many)]
    serving = node.serve()
    peer.connect(serving.address)
    t.equal(len(peer.ping(serving.id)), 3, "pings answered")
    for cid, block in zip(cids, (hello, large)):
        t.equal(peer.get(cid, serving.id), (block, protocol), "the block, and the protocol that was spoken")
    t.equal(peer.get_many(cids[2:], serving.id), many, "many blocks at once")
    # A CIDv0 of the same bytes is the same block, under the codec that was asked for.
    file = dagpb.leaf(os.urandom(500))
    node.put(file)
    t.equal(peer.get(dagpb.cid_v0(file), serving.id), (file, protocol), "a block asked for by its CIDv0")
    t.equal(serving.stop(), 0, "status of serve")


@test("py-libp2p fetches from us in Bitswap 1.2.0")
def in_120(t):
    fetched_in(t, BITSWAP[0])


@test("py-libp2p fetches from us in Bitswap 1.1.0")
def in_110(t):
    fetched_in(t, BITSWAP[1])


@test("py-libp2p fetches from us in Bitswap 1.0.0")
def in_100(t):
    fetched_in(t, BITSWAP[2])


def secured_with(t, node, security):
    t.equal([peer["security"] for peer in node.told("peers")], [security], "what secures our node's connection")


@test("py-libp2p dials a node of ours that speaks TLS alone, and Noise alone, and fetches")
def secured(t):
    for security in ("tls", "noise"):
        node, peer = Node(t, f"node-{security}"), PyLibp2p(t, f"pylibp2p-{security}")
        block = os.urandom(256 * 1024)
        cid = node.put(block)
        serving = node.serve("--security", security)
        peer.connect(serving.address)
        t.equal(peer.get(cid, serving.id)[0], block, f"a block over {security}")
        secured_with(t, node, security)
        t.equal(serving.stop(), 0, "status of serve")
        peer.kill()


@test("a node of ours that speaks TLS alone, and Noise alone, dials py-libp2p and fetches")
def secured_being_dialled(t):
    for security in ("tls", "noise"):
        node, peer = Node(t, f"node-{security}"), PyLibp2p(t, f"pylibp2p-{security}")
        block = os.urandom(256 * 1024)
        cid = peer.put(block)
        serving = node.serve("--security", security, "--peer", peer.address)
        t.equal(node.get(cid)[0], block, f"a block over {security}")
        secured_with(t, node, security)
        t.equal(serving.stop(), 0, "status of serve")
        peer.kill()


@test("HAVE and DONT_HAVE")
def presence(t):
    node, peer = Node(t), PyLibp2p(t)
    cid = node.put(os.urandom(100_000))
    serving = node.serve()
    peer.connect(serving.address)
    t.equal(peer.has(dagpb.cid_v1(os.urandom(9)), serving.id), False, "what nobody has")
    t.equal(peer.has(cid, serving.id), True, "what we have")


@test("we fetch from py-libp2p in each Bitswap it may speak, whoever dials")
def fetched_by_us(t):
    for number, protocol in enumerate(BITSWAP):
        peer = PyLibp2p(t, f"pylibp2p{number}", port=4300 + number, protocols=[protocol])
        dialler, dialled = Node(t, f"dialler{number}"), Node(t, f"dialled{number}")
        block = os.urandom(50_000)
        cid = peer.put(block)
        got, told = dialler.get(cid, peer.address)
        t.equal((got, told["peer"], told["source"]), (block, peer.id, "network"), f"a block in {protocol}")
        serving = dialled.serve()
        peer.connect(serving.address)
        t.equal(dialled.get(cid)[0], block, f"a block in {protocol} from a peer that dialled")
        t.equal(serving.stop(), 0, "status of serve")
