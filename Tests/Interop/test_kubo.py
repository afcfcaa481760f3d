"""Our node and a Kubo with its stock RSA identity, in both directions, whoever dials."""

import os
import socket
import time

import dagpb
from harness import test
from kubo import Kubo
from node import Node

HELLO = b"Hello Bitswap from Rust Helia"
HELLO_CID = "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq"
FILE = 64 << 20


def kubo_fetches(t, kubo_dials):
    """29 bytes, 1 MiB and a 64 MiB file of blocks put one by one, all from a node that serves."""
    kubo, node = Kubo(t), Node(t)
    t.check(kubo.id.startswith("Qm"), "Kubo's identity is not RSA")
    serving = node.serve() if kubo_dials else node.serve("--peer", kubo.address)
    if kubo_dials:
        kubo.connect(serving.address)
    t.eventually(lambda: serving.id in kubo.peers(), "Kubo knows our node")

    t.equal(node.put(HELLO), HELLO_CID, "the CID of the 29 bytes")
    t.equal(kubo.download(HELLO_CID, t.path("hello")), HELLO, "the 29 bytes in Kubo")

    block = os.urandom(1 << 20)
    cid = node.put(block)
    t.equal(kubo.download(cid, t.path("block")), block, "the 1 MiB block in Kubo")

    data = os.urandom(FILE)
    blocks = dagpb.blocks_of_file(data)
    for block in blocks:
        t.check(dagpb.matches(node.put(block), block), "a block's CID is not its hash")
    t.log(f"{len(blocks)} blocks put one by one")
    t.check(kubo.download(dagpb.cid_v0(blocks[-1]), t.path("file"), seconds=90) == data, "the 64 MiB differ in Kubo")
    t.log("64 MiB in Kubo")
    kubo.pin(dagpb.cid_v0(blocks[-1]))
    t.equal(serving.stop(), 0, "status of serve")


@test("Kubo dials us and fetches 29 bytes, 1 MiB and 64 MiB", seconds=180)
def kubo_fetches_having_dialled(t):
    kubo_fetches(t, kubo_dials=True)


@test("we dial Kubo and it fetches 29 bytes, 1 MiB and 64 MiB", seconds=180)
def kubo_fetches_being_dialled(t):
    kubo_fetches(t, kubo_dials=False)


def we_fetch(t, kubo_dials):
    """The same from Kubo. It makes no raw block of 1 MiB itself, so it has that one from another node of ours."""
    kubo, other, node = Kubo(t), Node(t, "other"), Node(t)
    data = os.urandom(FILE)
    root = kubo.add(t.file("file", data))
    block = os.urandom(1 << 20)
    cid = other.put(block)
    t.equal(other.put(HELLO), HELLO_CID, "the CID of the 29 bytes")
    source = other.serve()
    kubo.connect(source.address)
    for wanted in (cid, HELLO_CID):
        kubo.pin(wanted)
    t.equal(source.stop(), 0, "status of the other node's serve")

    serving, peers = None, [kubo.address]
    if kubo_dials:
        # The node that Kubo dials is the one that runs; block get asks it.
        serving, peers = node.serve(), []
        kubo.connect(serving.address)
        t.eventually(lambda: kubo.id in node.run("peers").out.decode(), "our node knows Kubo")

    got, told = node.get(HELLO_CID, *peers)
    t.equal(got, HELLO, "the 29 bytes")
    t.equal((told["source"], told["peer"], told["size"]), ("network", kubo.id, 29), "where they came from")
    t.equal(node.get(cid, *peers)[0], block, "the 1 MiB block")
    t.log("walking 64 MiB")

    def fetch(cids):
        return [node.get(cid, *peers)[0] for cid in cids]

    t.check(dagpb.walk(root, fetch) == data, "the 64 MiB walked from Kubo differ")
    t.log("64 MiB from Kubo")
    if serving:
        t.equal(serving.stop(), 0, "status of serve")
    kubo.kill()
    t.equal(node.get(root)[1]["source"], "local", "where the root is now")
    t.check(dagpb.walk(root, lambda cids: [node.get(cid)[0] for cid in cids]) == data, "the 64 MiB kept differ")


@test("Kubo dials us and we fetch 29 bytes, 1 MiB and 64 MiB", seconds=180)
def we_fetch_being_dialled(t):
    we_fetch(t, kubo_dials=True)


@test("we dial Kubo and fetch 29 bytes, 1 MiB and 64 MiB", seconds=180)
def we_fetch_having_dialled(t):
    we_fetch(t, kubo_dials=False)


def answer_to(address, protocol):
    """What a listener answers to the proposal of a protocol, in multistream-select."""
    _, _, host, _, port, *_ = address.split("/")
    with socket.create_connection((host, int(port)), 10) as connection, connection.makefile("rwb") as stream:
        for line in ("/multistream/1.0.0", protocol):
            stream.write(bytes([len(line) + 1]) + line.encode() + b"\n")
        stream.flush()
        return [stream.readline()[1:-1].decode() for _ in range(2)][1]


def secured_by(t, kubo, when_it_dials, when_we_dial, *words):
    """Both dial and both fetch, and what secures the connections is what was to be expected."""
    for kubo_dials, security in ((True, when_it_dials), (False, when_we_dial)):
        node = Node(t, f"{security}-{'dialled' if kubo_dials else 'dials'}")
        serving = node.serve(*words) if kubo_dials else node.serve(*words, "--peer", kubo.address)
        if kubo_dials:
            kubo.connect(serving.address)
        t.eventually(lambda: serving.id in kubo.peers(), "Kubo knows our node")
        block = os.urandom(1 << 20)
        t.equal(kubo.download(node.put(block), t.path("block")), block, "the 1 MiB block in Kubo")
        data = os.urandom(200_000)
        root = kubo.add(t.file("file", data))
        file = dagpb.walk(root, lambda cids: [node.get(cid)[0] for cid in cids])
        t.check(file == data, "the file from Kubo differs")
        connections = [(peer["peer"], peer["direction"], peer["security"]) for peer in node.told("peers")]
        direction = "inbound" if kubo_dials else "outbound"
        t.equal(set(connections), {(kubo.id, direction, security)}, "the connections of our node")
        t.equal(serving.stop(), 0, "status of serve")
        t.eventually(lambda: serving.id not in kubo.peers(), "Kubo knows that our node is gone")


@test("Kubo and our node as they come: who dials chooses, Kubo Noise and we TLS", seconds=90)
def stock(t):
    secured_by(t, Kubo(t), "noise", "tls")


@test("a Kubo that speaks TLS alone, both ways, whoever dials", seconds=90)
def tls(t):
    kubo = Kubo(t, **{"Swarm.Transports.Security.Noise": False})
    t.equal(answer_to(kubo.address, "/tls/1.0.0"), "/tls/1.0.0", "what Kubo speaks")
    t.equal(answer_to(kubo.address, "/noise"), "na", "what it does not")
    secured_by(t, kubo, "tls", "tls")


@test("a Kubo that speaks Noise alone, both ways, whoever dials", seconds=90)
def noise(t):
    kubo = Kubo(t, **{"Swarm.Transports.Security.TLS": False})
    t.equal(answer_to(kubo.address, "/noise"), "/noise", "what Kubo speaks")
    t.equal(answer_to(kubo.address, "/tls/1.0.0"), "na", "what it does not")
    secured_by(t, kubo, "noise", "noise")


@test("Kubo and a node of ours that speaks Noise alone, and TLS alone, both ways, whoever dials", seconds=120)
def ours_alone(t):
    kubo = Kubo(t)
    for security in ("noise", "tls"):
        secured_by(t, kubo, security, security, "--security", security)


@test("a want that we cannot answer yet is answered once the block is put", seconds=60)
def remembered(t):
    kubo, node = Kubo(t), Node(t)
    serving = node.serve()
    kubo.connect(serving.address)
    block = os.urandom(5000)
    cid = dagpb.cid_v1(block)
    kubo.ask("Download", cid, str(t.path("late")))
    time.sleep(1)  # for Kubo to say what it wants; it repeats that after half a minute only
    t.equal(node.put(block), cid, "the CID")
    t.equal(kubo.answer("Download of a block put later", 20), 0, "Kubo's status")
    t.equal(t.path("late").read_bytes(), block, "the block in Kubo")
