"""A file from many at once, and to many: where each block came from, what came twice, and who was asked for nothing."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import dagpb
from files import FILE, File, fetch
from harness import test
from kubo import kubos
from node import Node
from pylibp2p import PyLibp2p

THIRD = 85 * dagpb.CHUNK  # of 256 leaves
LEAST_BLOCKS = 16  # that each of three gives who could give them all: how many more is a matter of the machine's mood


def fewer_than_one_in_a_hundred_twice(t, kubos, file):
    """Out of what the Kubos themselves say they have sent."""

    def sent():
        counts = [Counter(kubo.sent()) for kubo in kubos]
        return sum(counts, Counter()) >= Counter(file.leaves) and counts

    counts = t.eventually(sent, "the Kubos say that they sent it all")
    total = sum(len(file.blocks[cid]) for cid in file.leaves)
    bytes_sent = sum(len(file.blocks[cid]) * n for count in counts for cid, n in count.items())
    t.log(f"twice: {bytes_sent / total - 1:.2%} of the bytes")
    for kubo, count in zip(kubos, counts):
        entries = [f"{len(kubo.asked(kind))} {kind}" for kind in ("want-block", "want-have")]
        t.log(f"{kubo.name}: {', '.join(entries)}; {count.total()} blocks, {len(kubo.sent('DONT_HAVE'))} DONT_HAVE")
    t.check(bytes_sent < total * 1.01, f"{bytes_sent} bytes were sent for {total}")
    return counts


@test("64 MiB from three Kubos that hold all of it", seconds=120)
def from_three_with_all(t):
    file, peers, node = File(t), kubos(t, ["one", "two", "three"]), Node(t)
    for kubo in peers:
        file.add(kubo)
    told, _ = fetch(t, node, file, *(kubo.address for kubo in peers))
    t.equal({line["source"] for line in told}, {"network"}, "where the blocks came from")
    for count in fewer_than_one_in_a_hundred_twice(t, peers, file):
        t.check(count.total() >= LEAST_BLOCKS, f"one of three sent {count.total()} of 256 blocks: it is not spread")


@test("64 MiB from three Kubos that hold two thirds of it each", seconds=120)
def from_three_with_overlapping_parts(t):
    file, peers, node = File(t), kubos(t, ["one", "two", "three"]), Node(t)
    file.add(peers[0], end=2 * THIRD)
    file.add(peers[1], first=THIRD)
    file.add(peers[2], end=THIRD)
    file.add(peers[2], first=2 * THIRD)
    fetch(t, node, file, *(kubo.address for kubo in peers))
    for count in fewer_than_one_in_a_hundred_twice(t, peers, file):
        t.check(count.total() >= LEAST_BLOCKS, f"one of three sent {count.total()} of 256 blocks: it is not spread")


def from_all_half_and_none(t, running):
    file, peers, node = File(t), kubos(t, ["all", "half", "none"]), Node(t)
    whole, half, none = peers
    file.add(whole)
    file.add(half, end=FILE // 2)
    addresses = [kubo.address for kubo in peers]
    if running:
        serving = node.serve(*(word for address in addresses for word in ("--peer", address)))
        t.eventually(lambda: len(node.run("peers").lines) == 3, "three peers")
        t.equal({peer["foundBy"] for peer in node.told("peers")}, {"named"}, "how the peers were found")
        fetch(t, node, file)
        exchange = node.stat()["exchange"]
        t.log("stat:", exchange)
        t.check(exchange["duplicateBytesReceived"] < FILE / 100, "more than one in a hundred bytes came twice")
        t.check(exchange["bytesReceived"] >= FILE, "fewer bytes came than the file has")
        t.equal(serving.stop(), 0, "status of serve")
    else:
        fetch(t, node, file, *addresses)
    counts = fewer_than_one_in_a_hundred_twice(t, peers, file)
    t.check(counts[0].total() >= 128, "the other half was not taken from who alone holds it")
    t.check(counts[1].total() >= LEAST_BLOCKS, "what two hold was taken from one")
    t.equal(counts[2].total(), 0, "blocks from the one that has none")
    asked = none.asked("want-block"), none.asked("want-have")
    t.check(len(asked[0]) <= 32, f"the Kubo that has nothing was asked for {len(asked[0])} blocks")
    asked = len(set(asked[0] + asked[1]))
    t.check(asked <= 48, f"the Kubo that has nothing was asked after {asked} of 256 blocks")


@test("64 MiB from three Kubos that hold all, half and nothing of it", seconds=120)
def from_some(t):
    from_all_half_and_none(t, running=False)


@test("the same through a node that serves", seconds=120)
def from_some_through_a_node(t):
    from_all_half_and_none(t, running=True)


@test("64 MiB from three of ours, of which one on a slow line is left little to do", seconds=120)
def from_fast_and_slow(t):
    file, node, serving = File(t), Node(t), []
    for number, megabits in enumerate((800, 400, 20)):
        server = Node(t, f"server{number}")
        file.put(server)
        address, inside = t.network(megabits)
        serving.append(server.serve(listen=f"/ip4/{address}/tcp/4001", before=inside))
    fetch(t, node, file, *(one.address for one in serving))
    sent = [one.node.stat()["exchange"]["blocksSent"] for one in serving]
    t.log("blocks from each:", sent)
    t.check(sum(sent) <= 258, f"{sum(sent)} blocks were sent for 256")
    t.check(sent[2] <= 16, f"{sent[2]} of 256 blocks came on the slow line")
    t.check(min(sent[:2]) >= LEAST_BLOCKS, "one of the fast lines is hardly used")
    for one in serving:
        t.equal(one.stop(), 0, "status of serve")


def kubo_from_three_of_ours(t, file, put):
    (kubo,) = kubos(t, ["kubo"])
    nodes = [Node(t, name) for name in ("one", "two", "three")]
    put(nodes)
    serving = [node.serve() for node in nodes]
    for one in serving:
        kubo.connect(one.address)
    t.check(kubo.download(file.root, t.path("file"), seconds=90) == file.data, "the file in Kubo is another")
    sent = [node.stat()["exchange"] for node in nodes]
    t.log("blocks sent by each:", [one["blocksSent"] for one in sent], "of", len(file.blocks))
    for one in serving:
        t.equal(one.stop(), 0, "status of serve")
    return [one["blocksSent"] for one in sent]


@test("Kubo fetches 64 MiB from three of ours that hold all of it", seconds=120)
def kubo_from_three_with_all(t):
    file = File(t)

    def put(nodes):
        for node in nodes:
            file.put(node)

    sent = kubo_from_three_of_ours(t, file, put)
    t.check(sum(sent) >= len(file.blocks), f"{sent} blocks sent")


@test("Kubo fetches 64 MiB from three of ours that hold a third of it each", seconds=120)
def kubo_from_three_with_thirds(t):
    file = File(t)

    def put(nodes):
        for number, node in enumerate(nodes):
            file.put(node, file.third(number))
        file.put(nodes[0], file.nodes)

    for number, sent in enumerate(kubo_from_three_of_ours(t, file, put)):
        t.check(sent >= 85, f"node {number} has sent {sent} blocks, and it alone holds a third")


@test("a swarm of two of ours, two Kubos and a py-libp2p: all end with the 64 MiB", seconds=180)
def mixed_swarm(t):
    """A third each is with one of ours, one Kubo and py-libp2p; the others begin with nothing."""
    file = File(t)
    ours, (kubo, empty_kubo), python = (
        [Node(t, "ours"), Node(t, "empty")],
        kubos(t, ["kubo", "kubo-empty"]),
        PyLibp2p(t),
    )
    file.put(ours[0], [*file.third(0), *file.nodes])
    file.add(kubo, THIRD, 2 * THIRD)
    for cid in file.third(2):
        python.put(file.blocks[cid], cid=cid)
    t.log("everyone has a third, or nothing")
    addresses = [kubo.address, empty_kubo.address, python.address]
    serving = [ours[0].serve(*(w for a in addresses for w in ("--peer", a)))]
    serving.append(ours[1].serve(*(w for a in [*addresses, serving[0].address] for w in ("--peer", a))))
    kubo.connect(python.address)
    empty_kubo.connect(kubo.address)
    empty_kubo.connect(python.address)
    for node in ours:
        t.eventually(lambda: len(node.run("peers").lines) >= 4, "all are connected")
    t.log("all are connected")

    destinations = [t.path("file-kubo"), t.path("file-kubo-empty")]
    kubo.ask("Download", file.root, str(destinations[0]))
    empty_kubo.ask("Download", file.root, str(destinations[1]))
    python.get_from_all(file.leaves, 150)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda node: fetch(t, node, file, timeout="120s"), ours))
    t.log("ours have it")
    for peer, path in zip((kubo, empty_kubo), destinations):
        t.equal(peer.answer("Download", 120), 0, "Kubo's status")
        t.check(path.read_bytes() == file.data, f"the file in {peer.name} is another")
    t.log("the Kubos have it")
    t.equal(python.answer("get_from_all", 150), len(file.leaves), "leaves in py-libp2p")
    for cid in file.leaves:
        t.check(python.get(cid, python.id)[0] == file.blocks[cid], "a block in py-libp2p is another")
    t.log("py-libp2p has it")
    for one in serving:
        t.equal(one.stop(), 0, "status of serve")
