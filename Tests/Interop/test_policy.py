"""Who is served what: denied blocks and peers, nodes that do not serve or do not fetch, and private networks."""

import os

import dagpb
from harness import test
from kubo import Kubo
from node import NOT_FOUND, USAGE, Node


def lacks(t, node, cid, *peers, says, timeout="2s", **how):
    """The block cannot be had, and the command says why."""
    words = [word for peer in peers for word in ("--peer", peer)]
    result = node.run("block", "get", cid, "--timeout", timeout, *words, *how.get("options", ()), code=NOT_FOUND)
    t.contains(result.err, says, f"what a get of {cid} says")
    t.check(not node.has(cid), f"{cid} came all the same")
    return result


@test("a denied block is not there under any of its CIDs, also when it is put later; the others are")
def denied_block(t):
    server, client = Node(t, "server"), Node(t, "client")
    secret, late, data = os.urandom(5000), os.urandom(700), os.urandom(300_000)
    server.put(secret)
    cid = server.put(data)
    denied = [dagpb.cid_v1(secret), dagpb.cid_v0(secret)]
    serving = server.serve("--deny-cid", denied[0], "--deny-cid", dagpb.cid_v1(late))
    for name in denied:
        lacks(t, client, name, serving.address, says=f"{serving.id} said DONT_HAVE")
    t.equal(client.get(cid, serving.address)[0], data, "what is not denied")

    running = client.serve("--peer", serving.address)
    waiting = client.start("get", "block", "get", dagpb.cid_v1(late), "--timeout", "5s")
    wanted = ["wantlist", "--peer", running.id]
    shown = t.eventually(lambda: server.told(*wanted), "the server knows of the want")
    t.equal([(want["denied"], want["held"]) for want in shown], [(True, None)], "what it shows of the want")
    t.contains(server.run(*wanted).out.decode(), "denied", "the same as text")
    server.put(late)
    other = server.put(b"put after it")
    t.equal(client.get(other)[0], b"put after it", "what is put after it")
    t.equal(waiting.wait(15), NOT_FOUND, "status of the get of a denied block that was put")
    told = server.stat()["exchange"]
    t.equal((told["blocksSent"], told["havesSent"]), (2, 0), "what the server has given away")
    t.check(told["wantsDenied"] >= 3, f"it counts what it denies: {told}")
    t.contains(server.run("stat").out.decode(), "wants denied", "stat as text")
    t.equal([running.stop(), serving.stop()], [0, 0], "statuses of serve")
    again = server.serve()
    t.equal(client.get(denied[0], again.address)[0], secret, "the block, when it is not denied any more")


@test("only peers that are allowed, and not denied, are served")
def peers(t):
    server, friend, stranger = Node(t, "server"), Node(t, "friend"), Node(t, "stranger")
    cid = server.put(b"for friends")
    (friend_id,) = friend.run("id").lines
    for option, (served, refused) in (("--allow-peer", (friend, stranger)), ("--deny-peer", (stranger, friend))):
        serving = server.serve(option, friend_id)
        running = [node.serve("--peer", serving.address) for node in (friend, stranger)]
        t.eventually(lambda: len(server.run("peers").lines) == 2, "both are connected")
        lacks(t, refused, cid, says="DONT_HAVE")
        t.equal(served.get(cid)[0], b"for friends", f"what the other gets with {option}")
        served.run("block", "rm", cid)
        t.equal([one.stop() for one in (*running, serving)], [0, 0, 0], "statuses of serve")
    serving = server.serve("--allow-peer", friend_id, "--deny-peer", friend_id)
    running = friend.serve("--peer", serving.address)
    t.eventually(lambda: server.run("peers").lines, "it is connected")
    lacks(t, friend, cid, says="DONT_HAVE")


@test("a node that does not serve still fetches, and one that does not fetch still serves")
def modes(t):
    one, two = Node(t, "one"), Node(t, "two")
    ours, theirs = one.put(b"of the one"), two.put(b"of the two")
    serving, fetching = one.serve("--no-client"), two.serve("--no-server")
    one.run("connect", fetching.address)
    t.equal(two.get(ours)[0], b"of the one", "the block of the one that only serves")
    result = lacks(t, one, theirs, says="fetches none", timeout="60s")
    t.check(result.seconds < 30, f"a get that asks nobody took {result.seconds:.0f} s")
    third = Node(t, "third")
    lacks(t, third, theirs, fetching.address, says=f"{fetching.id} said DONT_HAVE")
    t.equal(one.stat()["exchange"]["wantBlocksSent"], 0, "blocks that the one has asked for")
    t.equal(two.stat()["exchange"]["blocksSent"], 0, "blocks that the other has sent")
    t.equal([serving.stop(), fetching.stop()], [0, 0], "statuses of serve")


@test("nodes exchange blocks with those that have the same protocol prefix, and with no others")
def prefix(t):
    server, client = Node(t, "server"), Node(t, "client")
    cid = server.put(b"of the chain")
    serving = server.serve("--protocol-prefix", "/chain")
    for options in ((), ("--protocol-prefix", "/chain2")):
        lacks(t, client, cid, serving.address, says="gave the block", options=options)
    t.equal(server.stat()["exchange"]["messagesReceived"], 0, "messages that came to the server")
    out = client.run("block", "get", cid, "--peer", serving.address, "--protocol-prefix", "/chain").out
    t.equal(out, b"of the chain", "the block")

    client.run("block", "rm", cid)
    running = client.serve("--protocol-prefix", "/chain", "--peer", serving.address)
    t.equal(client.get(cid)[0], b"of the chain", "the block, through a node that serves")
    client.run("block", "rm", cid)
    result = client.run("block", "get", cid, "--protocol-prefix", "/chain2")
    t.contains(result.err, "--protocol-prefix is not used", "what is said of a prefix that is not the running node's")
    t.equal([running.stop(), serving.stop()], [0, 0], "statuses of serve")


@test("options that make no sense are bad usage")
def usage(t):
    node, cid = Node(t), dagpb.cid_v1(b"a")
    for words, says in (
        (["serve", "--allow-peer", "nonsense"], "nonsense"),
        (["serve", "--deny-peer", cid], cid),
        (["serve", "--deny-cid", "nonsense"], "nonsense"),
        (["serve", "--protocol-prefix", "chain"], "begin with a slash"),
        (["serve", "--no-server", "--deny-cid", cid], "--no-server"),
        (["block", "get", cid, "--protocol-prefix", "/chain/"], "ends with a slash"),
    ):
        result = node.run(*words, code=USAGE)
        t.contains(result.err, says, f"bitswap {' '.join(words)}")
        t.equal((len(result.err.splitlines()), result.out), (1, b""), "what it prints")


@test("Kubo does not get a block that is denied, and gets the others", seconds=90)
def kubo_is_denied(t):
    kubo, node = Kubo(t), Node(t)
    secret, blocks = os.urandom(20_000), [os.urandom(50_000) for _ in range(3)]
    cid = node.put(secret)
    others = [node.put(block) for block in blocks]
    listen = "/ip4/127.0.0.1/tcp/4321"
    serving = node.serve("--deny-cid", cid, listen=listen)
    kubo.connect(serving.address)
    for name, block in zip(others, blocks):
        t.equal(kubo.download(name, t.path(name)), block, "a block that is not denied, in Kubo")
    before = node.stat()["exchange"]

    kubo.ask("Download", cid, str(t.path("secret")))  # it waits for as long as it takes
    wanted = ["wantlist", "--peer", kubo.id]
    shown = t.eventually(lambda: node.told(*wanted), "Kubo wants the block")
    t.equal({(want["cid"], want["denied"]) for want in shown}, {(cid, True)}, "what is shown of its want")
    # It asks for HAVE, and not to be told DONT_HAVE.
    t.eventually(lambda: node.stat()["exchange"]["wantsDenied"], "its want is looked up")
    node.run("block", "rm", cid)
    t.equal(node.put(secret), cid, "the CID of the block, put again")
    after = node.stat()["exchange"]
    for name in ("blocksSent", "havesSent"):
        t.equal(after[name], before[name], f"{name} since Kubo asks for the denied block")
    t.check(not t.path("secret").exists(), "Kubo has the block")
    t.equal(serving.stop(), 0, "status of serve")

    again = node.serve(listen=listen)
    node.run("connect", kubo.address)
    t.equal(kubo.answer("Download of a block that is denied no more", 40), 0, "Kubo's status")
    t.equal(t.path("secret").read_bytes(), secret, "the block in Kubo")
    t.equal(again.stop(), 0, "status of serve, started again")


@test("what is sent and what is taken keeps to the bytes a second that serve is given")
def bandwidth(t):
    server, client = Node(t, "server"), Node(t, "client")
    blocks = [os.urandom(128 << 10) for _ in range(32)]  # 4 MiB, of which a quarter of a second's worth goes at once
    cids = [server.put(block) for block in blocks]
    words = ["block", "get", "-", "-o", t.path("out")]
    for upload, download in (("2MiB", "1GB"), ("1GB", "2MiB")):
        serving = server.serve("--upload", upload)
        fetching = client.serve("--download", download, "--peer", serving.address)
        t.eventually(lambda: client.run("peers").lines, "they are connected")
        result = client.run(*words, stdin="\n".join(cids).encode())
        t.log(f"upload {upload}, download {download}: {result.seconds:.2f} s")
        t.check(result.seconds > 1.5, f"4 MiB at 2 MiB a second came in {result.seconds:.2f} s")
        t.equal(t.path("out").read_bytes(), b"".join(blocks), "the blocks")
        for one in (serving, fetching):
            t.equal(one.stop(), 0, "status of serve")
        client.run("block", "rm", *cids)
