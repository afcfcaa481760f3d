"""What the command line says to bad input, and how processes share a repository and end."""

import os
import signal
import socket
import stat
import subprocess
import threading

import dagpb
from harness import test
from node import FAILED, NOT_FOUND, USAGE, Node

NOBODY = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
CID = dagpb.cid_v1(b"what nobody has")


def refused(t, node, code, *words, says, seconds=15, stdin=b""):
    """The command fails with that status, one line on standard error that says so, and nothing on standard output."""
    result = node.run(*words, code=None, stdin=stdin, seconds=seconds)
    shown = f"bitswap {' '.join(map(str, words))}"
    t.equal(result.code, code, f"{shown}: status; it says {result.err!r}")
    t.equal(result.out, b"", f"{shown}: standard output")
    lines = [line for line in result.err.splitlines() if line.strip()]
    t.equal(len(lines), 1, f"{shown}: lines on standard error: {lines}")
    t.contains(lines[0], says, shown)
    return result


@test("a CID that is none")
def not_a_cid(t):
    node = Node(t)
    for text in ("nonsense", "Qm", "b", "", CID + "x", "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5s1"):
        for command in ("get", "stat", "rm"):
            refused(t, node, USAGE, "block", command, text, says=text or "CID")


@test("a multiaddr that is none")
def not_an_address(t):
    node = Node(t)
    for text in ("nonsense", "/ip4/1.2.3/tcp/1", "/ip4/127.0.0.1/tcp/70000", "/nothing/1", "/ip4/127.0.0.1"):
        refused(t, node, USAGE, "block", "get", CID, "--peer", text, says=text)
        refused(t, node, USAGE, "serve", "--listen", text, says=text)


@test("a missing file, a directory for a file, an unknown option, a timeout that is none")
def bad_words(t):
    node = Node(t)
    refused(t, node, FAILED, "block", "put", t.path("missing"), says="missing")
    refused(t, node, FAILED, "block", "put", t.directory, says=t.directory.name)
    for words in (["block", "put", "--nonsense"], ["nonsense"], ["block", "nonsense"], ["block", "get"]):
        result = node.run(*words, code=USAGE)
        t.check(result.err.strip() and not result.out, f"{words}: it says {result.err!r} and {result.out!r}")
    refused(t, node, USAGE, "block", "get", CID, "--timeout", "soon", says="soon")


@test("a repository that is not there, that is no directory, and that cannot be written")
def bad_repository(t):
    missing = Node(t, "missing", init=False)
    refused(t, missing, FAILED, "block", "get", CID, says=str(missing.repository))
    refused(t, missing, FAILED, "block", "put", "-", says=str(missing.repository))
    refused(t, missing, FAILED, "id", says="bitswap init")
    t.check(not missing.repository.exists(), "a command that only looks has made the repository")
    t.file("file", b"")
    below = Node(t, "file/repository", init=False)
    refused(t, below, FAILED, "init", says=str(below.repository))
    # Even root cannot write to a file system that is mounted read-only.
    node, held = Node(t, "readonly"), b"held"
    cid = node.put(held)
    subprocess.run(["mount", "--bind", node.repository, node.repository], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", node.repository], check=True)
    refused(t, node, FAILED, "block", "put", "-", stdin=b"new", says=str(node.repository))
    refused(t, Node(t, "readonly/new", init=False), FAILED, "init", says="readonly/new")
    subprocess.run(["umount", node.repository], check=True)
    t.equal(node.get(cid)[0], held, "the block, once it can be written again")


@test("a repository into which this user may not look is there all the same")
def shut_repository(t):
    # Root without its powers may do what the mode lets the owner do.
    powerless = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
    node, shut = Node(t), Node(t, init=False, inside=powerless)
    cid = node.put(b"behind the door")
    t.equal(shut.run("block", "get", cid).out, b"behind the door", "the block, while the directory is open")
    node.repository.chmod(0)
    for words in (["id"], ["block", "get", cid], ["block", "put", "-"], ["block", "ls"], ["peers"], ["serve"]):
        result = refused(t, shut, FAILED, *words, says="Permission denied")
        t.contains(result.err, str(node.repository), "what cannot be looked into")
        t.check("no repository" not in result.err, f"{words}: it says that there is none: {result.err!r}")
    node.repository.chmod(0o700)
    t.equal(shut.run("block", "get", cid).out, b"behind the door", "the block, once the directory is open again")


def fill_disk(t, size):
    """A node on a disk of 3 MiB, blocks of that size for as long as they find room, and the put that did not."""
    node = Node(t, "small", init=False)
    node.repository.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", node.repository], check=True)
    node.run("init")
    stored = []
    for _ in range((4 << 20) // size):
        data = os.urandom(size)
        result = node.run("block", "put", "-", stdin=data, code=None)
        if result.code:
            break
        stored.append((result.lines[0], data))
    return node, stored, result


@test("a full disk")
def full_disk(t):
    node, stored, result = fill_disk(t, 900_000)
    t.equal(result.code, FAILED, "status on a full disk")
    t.equal(len(result.err.strip().splitlines()), 1, f"lines on standard error: {result.err!r}")
    t.check(stored, "not one block found room")
    for cid, data in stored:
        t.equal(node.get(cid)[0], data, "a block stored before the disk was full")


@test("the room of a block that is removed from a full disk is there for the next one at once")
def full_disk_again(t):
    node, stored, result = fill_disk(t, 500_000)
    t.equal(result.code, FAILED, "status on a full disk")
    t.check(len(stored) > 2, f"{len(stored)} blocks of 500,000 bytes found room in 3 MiB")
    removed, _ = stored.pop(0)
    node.run("block", "rm", removed)
    data = os.urandom(500_000)
    stored.append((node.put(data), data))
    t.equal(sorted(node.list()), sorted(cid for cid, _ in stored), "the blocks that are there")
    t.check(node.read([cid for cid, _ in stored]) == b"".join(data for _, data in stored), "one of them is another")


@test("a repository whose files are not its own")
def corrupt(t):
    node = Node(t)
    node.put(b"something")
    for path in sorted(node.repository.rglob("*")):
        if path.is_file() and path.stat().st_size >= 4096 and "lock" not in path.name:
            path.write_bytes(b"this is no database" * 1000)
    refused(t, node, FAILED, "block", "ls", says=str(node.repository))


@test("a peer that is not there")
def nobody_there(t):
    node = Node(t)
    address = f"/ip4/127.0.0.1/tcp/9/p2p/{NOBODY}"
    result = refused(t, node, FAILED, "block", "get", CID, "--peer", address, "--timeout", "20s", says="/tcp/9")
    t.check(result.seconds < 10, f"{result.seconds:.0f} s to notice that nobody listens")


@test("a peer that accepts and says nothing")
def mute_peer(t):
    node = Node(t)
    with socket.create_server(("127.0.0.1", 4009)):
        address = f"/ip4/127.0.0.1/tcp/4009/p2p/{NOBODY}"
        result = node.run("block", "get", CID, "--peer", address, "--timeout", "2s", code=None)
    t.check(result.code in (FAILED, NOT_FOUND), f"status {result.code}")
    t.check(1.5 < result.seconds < 12, f"{result.seconds:.0f} s with a timeout of 2 s")
    t.equal(len(result.err.strip().splitlines()), 1, f"lines on standard error: {result.err!r}")


@test("a peer that speaks another protocol")
def other_protocol(t):
    node = Node(t)
    with socket.create_server(("127.0.0.1", 4009)) as server:

        def answer():
            while True:
                connection, _ = server.accept()
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)

        threading.Thread(target=answer, daemon=True).start()
        address = f"/ip4/127.0.0.1/tcp/4009/p2p/{NOBODY}"
        refused(t, node, FAILED, "block", "get", CID, "--peer", address, "--timeout", "20s", says="/tcp/4009")


@test("a peer with another identity than the address says")
def other_identity(t):
    server, node = Node(t, "server"), Node(t)
    cid = server.put(b"held by somebody else")
    serving = server.serve()
    address = serving.address.replace(serving.id, NOBODY)
    result = refused(t, node, FAILED, "block", "get", cid, "--peer", address, "--timeout", "20s", says=NOBODY)
    t.contains(result.err, serving.id, "who it really is")
    t.check(result.seconds < 10, f"{result.seconds:.0f} s to notice")
    t.check(not node.has(cid), "it was fetched all the same")
    t.equal(serving.stop(), 0, "status of serve")


@test("a block that the peer does not have")
def not_found(t):
    server, node = Node(t, "server"), Node(t)
    serving = server.serve()
    result = refused(
        t, node, NOT_FOUND, "block", "get", CID, "--peer", serving.address, "--timeout", "2s", says=CID
    )
    t.check(result.seconds < 8, f"{result.seconds:.0f} s with a timeout of 2 s")


@test("init, id and the key")
def identity(t):
    node = Node(t)
    (identity,) = node.run("id").lines
    t.check(identity.startswith("12D3KooW"), f"{identity} is no Ed25519 peer ID")
    secret = [path for path in node.repository.rglob("*") if path.is_file() and "key" in path.name]
    t.equal([stat.S_IMODE(path.stat().st_mode) for path in secret], [0o600], f"the mode of {secret}")
    refused(t, node, FAILED, "init", says=str(node.repository))
    t.equal(node.run("id").lines, [identity], "the identity, after init was refused")
    other = t.path("other")
    node.run("init", "--repo", other)
    t.check(other.is_dir(), "--repo names the repository")


@test("put, get, stat, ls and rm")
def blocks(t):
    node = Node(t)
    for size in (0, 1, 29, 1 << 20):
        data = os.urandom(size)
        (cid,) = node.run("block", "put", t.file("block", data)).lines
        t.equal(cid, dagpb.cid_v1(data), f"the CID of {size} bytes")
        t.equal(node.run("block", "get", cid).out, data, f"{size} bytes on standard output")
        got, told = node.get(cid)
        t.equal((got, told["cid"], told["size"], told["source"]), (data, cid, size, "local"), "what --json says")
        t.contains(node.run("block", "stat", cid).out.decode(), str(size), "block stat")
        t.check(cid in node.list(), "block ls leaves it out")
        node.run("block", "rm", cid)
        t.check(cid not in node.list() and not node.has(cid), "it is there after block rm")
        refused(t, node, FAILED, "block", "rm", cid, says=cid)
    refused(t, node, NOT_FOUND, "block", "stat", cid, says=cid)
    refused(t, node, NOT_FOUND, "block", "get", cid, says=cid)
    cids = [node.put(data) for data in (b"one", b"two")]
    lines = "\n".join(cids).encode()
    t.equal(node.run("block", "get", "-", stdin=lines).out, b"onetwo", "blocks whose CIDs come on standard input")
    refused(t, node, USAGE, "block", "get", "-", stdin=b"bafy0", says="bafy0")
    refused(t, node, USAGE, "block", "get", "-", says="standard input")


@test("blocks are put while the node serves them")
def two_processes(t):
    server, node = Node(t, "server"), Node(t)
    serving = server.serve()
    for size in (10, 5_000, 1 << 20, 1 << 20):
        data = os.urandom(size)
        t.equal(node.get(server.put(data), serving.address)[0], data, f"{size} bytes put while serve runs")
    writers = [server.start(f"put{n}", "block", "put", t.file(f"f{n}", os.urandom(300_000))) for n in range(8)]
    for writer in writers:
        t.equal(writer.wait(30), 0, "status of one of eight that put at once")
        cid = writer.stdout.read().decode().strip()
        t.equal(len(node.get(cid, serving.address)[0]), 300_000, "its block, fetched")
    t.equal(serving.stop(), 0, "status of serve")
    t.equal(len(server.list()), 12, "blocks in the repository")


@test("connect, peers and stat ask the running node")
def running_node(t):
    one, two = Node(t, "one"), Node(t, "two")
    refused(t, one, FAILED, "peers", says="serve")
    first, second = one.serve(), two.serve()
    t.equal(one.run("peers").lines, [], "the peers of a node that knows nobody")
    one.run("connect", second.address)
    t.contains(one.run("peers").out.decode(), second.id, "the peers of the one that dialled")
    t.equal([peer["security"] for peer in one.told("peers")], ["tls"], "what secures its connection")
    t.eventually(lambda: first.id in two.run("peers").out.decode(), "the peers of the other")
    refused(t, one, FAILED, "connect", f"/ip4/127.0.0.1/tcp/9/p2p/{NOBODY}", says="/tcp/9")
    refused(t, one, USAGE, "connect", "nonsense", says="nonsense")
    cid = two.put(b"over the connection that is there")
    t.equal(one.get(cid)[1]["peer"], second.id, "the peer that a running node fetched from")
    t.check(one.stat(), "stat --json says nothing")
    t.check(one.run("stat").out, "stat says nothing")
    second.kill()
    t.eventually(lambda: one.run("peers").lines == [], "the other is gone")
    t.equal(first.stop(), 0, "status of serve")
    refused(t, one, FAILED, "peers", says="serve")


@test("wantlist and ledger ask the running node, and a get that is given up leaves nothing behind")
def wants(t):
    one, two = Node(t, "one"), Node(t, "two")
    for words in (["wantlist"], ["wantlist", "--peer", NOBODY], ["ledger", NOBODY]):
        refused(t, one, FAILED, *words, says="serve")
    for words in (["wantlist", "--peer", "nonsense"], ["ledger", "nonsense"]):
        refused(t, one, USAGE, *words, says="nonsense")
    first, second = one.serve(), two.serve()
    t.equal(one.run("wantlist").lines, [], "the wantlist of a node that wants nothing")
    for words in (["wantlist", "--peer", NOBODY], ["ledger", NOBODY]):
        refused(t, one, FAILED, *words, says=f"{NOBODY} is not connected")
    one.run("connect", second.address)
    getting = one.start("get", "block", "get", CID, "--timeout", "60s")
    t.eventually(lambda: one.run("wantlist").lines == [CID], "the wantlist of the one that waits")
    wanted = ["wantlist", "--peer", first.id]
    t.eventually(lambda: [want["held"] for want in two.told(*wanted)] == [False], "the other knows, and holds it not")
    t.equal(two.told(*wanted)[0]["cid"], CID, "the CID that the other knows of")
    t.check(two.run(*wanted).lines[0].startswith(CID), "the same as text")
    t.equal(two.told("ledger", first.id)[0]["subscriptions"], 1, "what it is waited for")
    getting.send_signal(signal.SIGINT)
    t.equal(getting.wait(10), 128 + signal.SIGINT, "status of a get that was interrupted")
    t.eventually(lambda: one.run("wantlist").lines == [], "nobody waits any more")
    t.eventually(lambda: two.told(*wanted) == [], "the want was taken back")

    data = os.urandom(300_000)
    t.equal(one.get(two.put(data))[0], data, "a block")
    (there,), (here,) = two.told("ledger", first.id), one.told("ledger", second.id)
    t.equal((there["blocksSent"], there["bytesSent"]), (1, len(data)), "what the other has sent")
    t.equal((here["blocksReceived"], here["bytesReceived"]), (1, len(data)), "what came from it")
    t.contains(two.run("ledger", first.id).out.decode(), "1 block, 293.0 KiB", "the ledger as text")
    (peer,) = two.told("peers")
    t.equal(peer["ledger"]["bytesSent"], len(data), "what peers says was sent")
    told = one.stat()["exchange"]
    t.equal(told["bytesReceived"], len(data), "what stat says came")
    t.equal(told["duplicateShare"], 0, "the share of it that came in vain")
    t.check(told["wantsSentPerBlock"] >= 1, f"wants sent per block: {told}")
    t.contains(one.run("stat").out.decode(), "1 block, 293.0 KiB", "stat as text")
    t.equal([first.stop(), second.stop()], [0, 0], "statuses of serve")


@test("Ctrl-C and SIGTERM end serve cleanly, in the middle of a transfer too")
def signals(t):
    node, other = Node(t), Node(t, "other")
    data = os.urandom(1 << 20)
    cid = node.put(data)
    for number in (signal.SIGINT, signal.SIGTERM):
        serving = node.serve()
        t.equal(other.get(cid, serving.address)[0], data, "a block")
        other.run("block", "rm", cid)
        t.equal(serving.stop(number), 0, f"status after {number.name}")
        t.check("Fatal" not in serving.log_text, f"it ended with a crash: {serving.log_text[-500:]}")
    serving = node.serve()
    waiting = other.start("get", "block", "get", CID, "--peer", serving.address, "--timeout", "60s")
    t.eventually(lambda: other_is_known(node), "the other is connected")
    t.equal(serving.stop(), 0, "status of serve with a peer that waits")
    waiting.send_signal(signal.SIGINT)
    t.check(waiting.wait(10) != 0, "a get that was interrupted reports success")
    t.check(not any(node.repository.glob("*.sock")), "the socket is left behind")
    again = node.serve()
    t.equal(again.stop(), 0, "status of serve, started again")


def other_is_known(node):
    return bool(node.run("peers").lines)
