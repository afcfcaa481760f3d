"""What the network may be like: IPv6, no more file descriptors, and a machine that gives no namespaces."""

import os
import subprocess
import time

import dagpb
from harness import HERE, test
from kubo import Kubo
from node import Node
from rawpeer import RawPeer, Refused, want, wantlist

IPV6 = "/ip6/::1/tcp/0"


@test("over IPv6, from ours", seconds=60)
def ours_over_ipv6(t):
    server, node = Node(t, "server"), Node(t)
    data = os.urandom(1 << 20)
    cid = server.put(data)
    serving = server.serve(listen=IPV6)
    t.check(serving.address.startswith("/ip6/::1/tcp/"), f"it listens on {serving.address}")
    got, told = node.get(cid, serving.address)
    t.equal((got, told["source"], told["peer"]), (data, "network", serving.id), "the block, and where it came from")
    t.equal(serving.stop(), 0, "status of serve")
    both = server.serve("--listen", "/ip4/127.0.0.1/tcp/4001", listen="/ip6/::1/tcp/4001")
    t.equal(len(both.addresses), 2, f"addresses on one port: {both.addresses}")
    for number, address in enumerate(both.addresses):
        t.equal(Node(t, f"node{number}").get(cid, address)[0], data, f"the block over {address}")
    t.equal(both.stop(), 0, "status of serve")


@test("over IPv6, with Kubo, both ways", seconds=90)
def kubo_over_ipv6(t):
    kubo, node = Kubo(t, ip="/ip6/::1"), Node(t)
    data = os.urandom(1 << 20)
    root = kubo.add(t.file("file", data))

    def fetch(cids):
        return [node.get(cid, kubo.address)[0] for cid in cids]

    t.check(dagpb.walk(root, fetch) == data, "the file fetched from Kubo is another")
    block = os.urandom(100_000)
    cid = node.put(block)
    serving = node.serve(listen=IPV6)
    kubo.connect(serving.address)
    t.equal(kubo.download(cid, t.path("block")), block, "the block in Kubo")
    t.equal(serving.stop(), 0, "status of serve")


@test("id and stat tell the addresses of now", seconds=60)
def addresses_of_now(t):
    node = Node(t)
    serving = node.serve(listen="/ip4/0.0.0.0/tcp/0")

    def told():
        lines = node.run("id").lines + node.stat()["addresses"]
        return sum("/ip4/10.9.9.9/tcp/" in line for line in lines)

    t.equal(told(), 0, "times that it is told before it is there")
    subprocess.run("ip addr add 10.9.9.9/32 dev lo".split(), check=True)
    try:
        t.eventually(lambda: told() == 2, "both tell the new address")
    finally:
        subprocess.run("ip addr del 10.9.9.9/32 dev lo".split(), check=True)
    t.eventually(lambda: told() == 0, "nor do they tell it any more")
    t.equal(serving.stop(), 0, "status of serve")


DESCRIPTORS = 64


@test("no more file descriptors: nobody new gets in, the others are served, and it recovers", seconds=90)
def no_descriptors(t):
    server, node = Node(t, "server"), Node(t)
    data = os.urandom(1 << 20)
    cid = server.put(data)
    serving = server.serve(before=["prlimit", f"--nofile={DESCRIPTORS}"])
    guests = []
    while len(guests) < DESCRIPTORS:
        try:
            guests.append(RawPeer(serving.address, timeout=3))
        except Refused:
            break
    t.log(f"{len(guests)} peers are connected, of {DESCRIPTORS} descriptors; one more does not get in")
    t.check(20 < len(guests) < DESCRIPTORS, "as many peers as there are descriptors")
    t.eventually(lambda: "too many open files" in serving.log_text.lower(), "the log says what is missing")
    before, lines = serving.processor_seconds, len(serving.log_text.splitlines())
    time.sleep(3)
    spent, said = serving.processor_seconds - before, len(serving.log_text.splitlines()) - lines
    t.log(f"in 3 s of that: {spent:.2f} s of the processor, {said} lines logged, such as:")
    t.log(serving.log_text.splitlines()[-1])
    t.check(spent < 1, f"{spent:.2f} s of the processor in 3 s: it spins")
    t.check(said <= 60, f"{said} lines logged in 3 s")
    t.check(serving.process.poll() is None, "it has ended")
    served = guests[-1].received
    guests[-1].send(guests[-1].open(), wantlist([want(cid)]))
    guests[-1].read_until(served + len(data))
    for peer in guests[:10]:
        peer.close()
    t.equal(node.get(cid, serving.address)[0], data, "the block, once some have left")
    t.check(len(server.run("peers").lines) >= len(guests) - 11, "those who stayed are not connected any more")
    for peer in guests:
        peer.close()
    t.eventually(lambda: not server.run("peers").lines, "all are gone")
    t.equal(serving.stop(), 0, "status of serve")


@test("the demo where the machine gives no namespaces", seconds=60)
def demo_on_plain_loopback(t):
    tools = t.path("tools")
    tools.mkdir()
    denied = tools / "unshare"
    denied.write_text("#!/bin/sh\necho unshare: Operation not permitted >&2\nexit 1\n")
    denied.chmod(0o755)
    ended = subprocess.run(
        [HERE / "demo", t.bitswap],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=50,
    )
    t.log(ended.stdout + ended.stderr)
    t.equal(ended.returncode, 0, f"status of the demo, which says {ended.stderr!r}")
    t.contains(ended.stdout, "All as it should be", "what it says in the end")
