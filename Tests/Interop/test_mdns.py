"""Peers on one network find each other by mDNS: networks of several nodes, each in a namespace, on one bridge."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from harness import HERE, read_line, test
from kubo import Kubo
from node import Node
from pylibp2p import PyLibp2p

HELLO = b"Hello Bitswap from Rust Helia"
HELLO_CID = "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq"
ANYWHERE = "/ip4/0.0.0.0/tcp/4001"


def fetched(result):
    """What `block get --json` says, and the milliseconds of its first step of each kind."""
    told = json.loads(result.out)
    steps = {}
    for step in told["steps"]:
        steps.setdefault(step["event"], step["milliseconds"])
    return told, steps


def get(node, cid, seconds=20):
    out = node.case.path(f"{node.name}-{cid[-8:]}")
    result = node.run("block", "get", cid, "--json", "-o", out, "--timeout", f"{seconds}s", seconds=seconds + 10)
    told, steps = fetched(result)
    return out.read_bytes(), told, steps, result.seconds


def peers_of(node):
    return {peer["peer"]: peer for peer in node.told("peers")}


@test("two of ours on one network, no address given", seconds=60)
def two_of_ours(t):
    (_, one), (_, two) = t.segment(2)
    server, node = Node(t, "server", mdns=True, inside=one), Node(t, mdns=True, inside=two)
    t.equal(server.put(HELLO), HELLO_CID, "the CID")
    serving = server.serve(listen=ANYWHERE)
    data, told, steps, seconds = get(node, HELLO_CID)
    t.equal((data, told["source"], told["peer"]), (HELLO, "network", serving.id), "the block, and where it came from")
    t.log(f"{seconds:.2f} s in all; steps: {json.dumps(told['steps'])}")
    for step in ("not in the local store", "discovered", "connected", "asked", "received"):
        t.check(step in steps, f"the story does not tell of: {step}")
    t.check(seconds < 3, f"{seconds:.2f} s from its start")
    since_discovery = steps["received"] - steps["discovered"]
    t.check(since_discovery < 1000, f"{since_discovery:.0f} ms from discovery")
    # Two that serve find each other too, and say how.
    other = Node(t, "other", mdns=True, inside=two)
    second = other.serve(listen=ANYWHERE)
    found = lambda: peers_of(other).get(serving.id, {}).get("foundBy")
    t.equal(t.eventually(found, "the two are connected, and how is known"), "mdns", "how the peer was found")
    t.equal(get(other, HELLO_CID)[0], HELLO, "the block through a node that serves")
    t.equal(second.stop(), 0, "status of serve")
    t.eventually(
        lambda: f'"event":"undiscovered","peer":"{second.id}"' in events(serving), "its goodbye is heard", seconds=5
    )
    t.equal(serving.stop(), 0, "status of serve")


def events(serving):
    """What `serve --json` has printed so far."""
    os.set_blocking(serving.process.stdout.fileno(), False)
    try:
        while data := os.read(serving.process.stdout.fileno(), 1 << 16):
            serving.process.rest += data
    except BlockingIOError:
        pass
    return serving.process.rest.decode()


@test("over IPv6 alone", seconds=60)
def ipv6_alone(t):
    places = t.segment(2)
    for address, inside in places:
        subprocess.run([*inside, "ip", "addr", "del", f"{address}/24", "dev", "e0"], check=True)
    server = Node(t, "server", mdns=True, inside=places[0][1])
    node = Node(t, mdns=True, inside=places[1][1])
    server.put(HELLO)
    serving = server.serve(listen="/ip6/::/tcp/4001")
    data, told, _, _ = get(node, HELLO_CID)
    t.equal((data, told["peer"]), (HELLO, serving.id), "the block, and where it came from")
    t.equal(serving.stop(), 0, "status of serve")


@test("on one machine, over its loopback alone", seconds=60)
def one_machine(t):
    server, node = Node(t, "server", mdns=True), Node(t, mdns=True)
    server.put(HELLO)
    serving = server.serve(listen="/ip4/127.0.0.1/tcp/0")
    t.equal(get(node, HELLO_CID)[0], HELLO, "the block")
    t.equal(serving.stop(), 0, "status of serve")


@test("Kubo serves and ours fetches, ours serves and Kubo fetches", seconds=120)
def with_kubo(t):
    (kubo_ip, one), (_, two) = t.segment(2)
    kubo = Kubo(t, ip=f"/ip4/{kubo_ip}", inside=one, mdns=True)
    node, server = Node(t, mdns=True, inside=two), Node(t, "server", mdns=True, inside=two)
    root = kubo.add(t.file("file", os.urandom(1000)))
    data, told, _, seconds = get(node, root)
    t.equal((told["source"], told["peer"]), ("network", kubo.id), "where the block came from")
    t.log(f"from Kubo in {seconds:.2f} s")
    block = os.urandom(50_000)
    cid = server.put(block)
    serving = server.serve(listen=ANYWHERE)
    t.eventually(lambda: serving.id in kubo.peers(), "Kubo has found ours", seconds=20)
    t.equal(kubo.download(cid, t.path("block")), block, "the block in Kubo")
    found = lambda: peers_of(server).get(kubo.id, {}).get("foundBy")
    t.equal(t.eventually(found, "how Kubo was found is known"), "mdns", "how Kubo was found")
    t.equal(serving.stop(), 0, "status of serve")


@test("py-libp2p and ours discover each other", seconds=120)
def with_pylibp2p(t):
    (python_ip, one), (_, two) = t.segment(2)
    python = PyLibp2p(t, ip=python_ip, inside=one, mdns=True)
    cid = python.put(HELLO)
    node, server = Node(t, mdns=True, inside=two), Node(t, "server", mdns=True, inside=two)
    data, told, _, seconds = get(node, cid)
    t.equal((data, told["peer"]), (HELLO, python.id), "the block from py-libp2p")
    t.log(f"from py-libp2p in {seconds:.2f} s")
    python.kill()
    # It dials whom it finds; ours, with mDNS seen by it alone, must be dialled.
    block = os.urandom(50_000)
    cid = server.put(block)
    serving = server.serve(listen=ANYWHERE)
    again = PyLibp2p(t, "again", ip=python_ip, inside=one, mdns=True)
    t.eventually(lambda: serving.id in again.peers(), "py-libp2p is connected with ours", seconds=20)
    t.equal(again.get(cid, serving.id)[0], block, "the block in py-libp2p")
    t.equal(serving.stop(), 0, "status of serve")


NODES, BLOCKS = 20, 100


@test("twenty of ours with 100 blocks each: every one fetches all 2,000", seconds=300)
def twenty(t):
    places = t.segment(NODES)
    nodes = [Node(t, f"node{number}", mdns=True, inside=inside) for number, (_, inside) in enumerate(places)]
    cids = []
    for node in nodes:
        files = [t.file(f"{node.name}-{number}", os.urandom(1024)) for number in range(BLOCKS)]
        cids += node.run("block", "put", *files).lines
    t.equal(len(set(cids)), NODES * BLOCKS, "blocks in all")
    began = time.monotonic()
    with ThreadPoolExecutor(NODES) as pool:
        serving = list(pool.map(lambda node: node.serve(listen=ANYWHERE), nodes))
    t.eventually(lambda: all(len(peers_of(node)) == NODES - 1 for node in nodes), "all are connected", seconds=60)
    t.log(f"all {NODES} connected {time.monotonic() - began:.1f} s after the first was started")
    wanted = "\n".join(cids).encode()

    def fetch(node):
        words = ("block", "get", "-", "-o", os.devnull, "--timeout", "120s")
        return node.run(*words, stdin=wanted, seconds=200)

    with ThreadPoolExecutor(NODES) as pool:
        results = list(pool.map(fetch, nodes))
    t.log(f"every node has all blocks; the slowest took {max(r.seconds for r in results):.1f} s")
    for node in nodes:
        t.equal(len(node.list()), NODES * BLOCKS, f"blocks in {node.name}")

    def pairs():
        found = [len(node.told("peers")) for node in nodes]
        return found if all(count == NODES - 1 for count in found) else None

    t.eventually(pairs, "one connection between any two", seconds=30)
    seconds = time.monotonic() - began
    stats = [node.stat() for node in nodes]
    packets = sum(stat["mdns"]["packetsSent"] for stat in stats)
    octets = sum(stat["mdns"]["bytesSent"] for stat in stats)
    failed = sum(stat["connections"]["dialsFailed"] for stat in stats)
    t.log(f"mDNS of all in {seconds:.0f} s: {packets} packets, {octets} bytes; dials that failed: {failed}")
    t.check(packets < NODES * 40, f"{packets} packets of mDNS")
    for one in serving:
        one.process.send_signal(signal.SIGINT)
    for one in serving:
        t.equal(one.process.wait(20), 0, "status of serve")


@test("a node that moves to another network is found there", seconds=120)
def moves(t):
    (_, one), (_, two) = t.segment(2, "left")
    (right_ip, three) = t.segment(2, "right")[1]
    server, mover = Node(t, "server", mdns=True, inside=one), Node(t, "mover", mdns=True, inside=two)
    third = Node(t, "third", mdns=True, inside=three)
    server.put(HELLO)
    block = os.urandom(10_000)
    cid = third.put(block)
    left, right, moving = server.serve(listen=ANYWHERE), third.serve(listen=ANYWHERE), mover.serve(listen=ANYWHERE)
    t.eventually(lambda: left.id in peers_of(mover), "it is connected on the left")
    # Its cable is pulled and put into the other bridge, where it has another address.
    for command in (
        "ip -n left2 addr flush dev e0",
        "ip link set leftp2 nomaster",
        "ip link set leftp2 master right",
        f"ip -n left2 addr add {right_ip.rsplit('.', 1)[0]}.77/24 dev e0",
    ):
        subprocess.run(command.split(), check=True)
    t.eventually(lambda: right.id in peers_of(mover), "it is connected on the right", seconds=20)
    t.equal(get(mover, cid)[0], block, "a block from its new network")
    t.eventually(lambda: left.id not in peers_of(mover), "the old connection is gone", seconds=20)
    # And the other way round: it is found at its new address.
    other = os.urandom(10_000)
    t.equal(get(third, mover.put(other))[0], other, "a block from the node that has moved")
    for serving in (left, right, moving):
        t.equal(serving.stop(), 0, "status of serve")


@test("a hostile neighbour", seconds=120)
def hostile(t):
    (_, one), (_, two), (bad_ip, three) = t.segment(3)
    server, node = Node(t, "server", mdns=True, inside=one), Node(t, mdns=True, inside=two)
    server.put(HELLO)
    serving, other = server.serve(listen=ANYWHERE), node.serve(listen=ANYWHERE)
    t.eventually(lambda: serving.id in peers_of(node), "the two are connected")
    before = other.memory
    bad = t.start("neighbour", [*three, sys.executable, HERE / "neighbour.py", bad_ip, serving.id])
    told = json.loads(read_line(bad, 60, "what it has done"))
    t.log(f"the neighbour: {told}")
    stat = node.stat()
    t.log(f"mDNS: {stat['mdns']}; connections: {stat['connections']}; memory +{(other.memory - before) >> 20} MiB")
    hits = stat["mdns"]["limitHits"]
    for limit in ("malformed", "address", "names_per_source", "addresses_per_name", "off_link", "goodbye"):
        t.check(hits.get(limit, 0) > 0, f"{limit} was never hit: {hits}")
    t.check(other.memory - before < 32 << 20, "memory grew")
    # It listens at its own address and counts who dials; nothing else of its claims was dialled.
    most = 2 * (told["seconds"] * 16 + 32)
    t.check(told["dials"] <= most, f"{told['dials']} dials of two nodes in {told['seconds']} s, at most {most} allowed")
    t.equal(list(peers_of(node)), [serving.id], "who is connected")
    t.equal(get(node, HELLO_CID)[0], HELLO, "a block in spite of it")
    t.equal(serving.stop(), 0, "status of serve")
    t.equal(other.stop(), 0, "status of serve")


@test("the server's interface is down for 30 s in the middle of 1 GiB", seconds=400, long=True)
def interface_down(t):
    (_, one), (_, two) = t.segment(2)
    server, node = Node(t, "server", mdns=True, inside=one), Node(t, mdns=True, inside=two)
    size, count = 256 << 10, 4096
    t.slow_down(400, "e0", one)
    source = random.Random(7)
    files = []
    cids = []
    for number in range(count):
        files.append(t.file(f"block{number}", source.randbytes(size)))
        if len(files) == 256:
            cids += server.run("block", "put", *files, seconds=120).lines
            for file in files:
                file.unlink()
            files = []
    serving, fetching = server.serve(listen=ANYWHERE), node.serve(listen=ANYWHERE)
    t.eventually(lambda: serving.id in peers_of(node), "the two are connected")
    began = time.monotonic()
    process = subprocess.Popen(
        [t.bitswap, "block", "get", "-", "-o", os.devnull, "--timeout", "200s"],
        env={**os.environ, **node.environment},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write("\n".join(cids).encode())
    process.stdin.close()

    def received():
        return node.stat()["exchange"]["blocksReceived"]

    t.eventually(lambda: received() > count // 4, "a quarter has come", seconds=60)
    subprocess.run("ip -n segment1 link set e0 down".split(), check=True)
    t.log(f"down after {time.monotonic() - began:.1f} s with {received()} blocks")
    time.sleep(30)
    subprocess.run("ip -n segment1 link set e0 up".split(), check=True)
    up, at = time.monotonic(), received()
    t.check(at < count, "all had come before")
    t.eventually(lambda: received() > at, "blocks come again", seconds=90)
    t.log(f"blocks come again {time.monotonic() - up:.1f} s after it is up")
    t.equal(process.wait(250), 0, f"status of block get")
    t.log(f"all of it {time.monotonic() - began:.1f} s after the beginning")
    t.equal(len(node.list()), count, "blocks")
    t.equal(serving.stop(), 0, "status of serve")
    t.equal(fetching.stop(), 0, "status of serve")
