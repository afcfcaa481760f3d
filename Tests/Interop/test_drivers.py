"""Kubo and py-libp2p with each other: if these fail, what the other tests say means nothing."""

import os

import dagpb
from harness import test
from kubo import Kubo
from pylibp2p import PyLibp2p


@test("a file's blocks made here have the CIDs that Kubo gives them")
def same_cids(t):
    kubo = Kubo(t)
    for size in (0, 29, 256 * 1024, 256 * 1024 + 1, 175 * 256 * 1024):
        data = os.urandom(size)
        root = kubo.add(t.file("file", data))
        blocks = dagpb.blocks_of_file(data)
        t.equal(dagpb.cid_v0(blocks[-1]), root, f"the root of {size} bytes")
        held = {dagpb.cid_v0(block): block for block in blocks}
        t.equal(dagpb.walk(root, lambda cids: [held[cid] for cid in cids]), data, f"{size} bytes walked")


@test("py-libp2p fetches a file from Kubo")
def from_kubo(t):
    kubo, peer = Kubo(t), PyLibp2p(t)
    peer.connect(kubo.address)
    t.equal(len(peer.ping(kubo.id)), 3, "pings answered")
    data = os.urandom(1 << 20)
    root = kubo.add(t.file("file", data))
    t.equal(dagpb.walk(root, lambda cids: peer.get_many(cids, kubo.id)), data, "the file")
    leaf = dagpb.links(dagpb.blocks_of_file(data)[-1])[0]  # Kubo answers for a small block with the block
    t.equal(peer.has(leaf, kubo.id), True, "Kubo has a leaf")
    t.equal(peer.has(dagpb.cid_v1(os.urandom(9)), kubo.id), False, "Kubo has what nobody has")


@test("Kubo fetches from py-libp2p, and does not take a block that lies")
def from_pylibp2p(t):
    kubo, peer = Kubo(t), PyLibp2p(t)
    kubo.connect(peer.address)
    cid = peer.put(b"Hello Bitswap from Rust Helia")
    t.equal(cid, "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq", "the CID")
    t.equal(kubo.download(cid, t.path("out")), b"Hello Bitswap from Rust Helia", "the block")

    liar = PyLibp2p(t, "liar", port=4202, lie="altered")
    kubo.connect(liar.address)
    asked = dagpb.cid_v1(os.urandom(99))
    kubo.ask("Download", asked, str(t.path("lie")))
    t.eventually(lambda: liar.told(), "the liar is asked")
    t.check(not t.path("lie").exists(), "Kubo took a block that does not match")
