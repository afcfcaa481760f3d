"""Our own node, driven through its command line alone."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from harness import Failure, brief, read_line

FAILED, NOT_FOUND, USAGE = 1, 2, 64
CEILING = 256 << 20  # of what all peers together can make an exchange keep, by default
HEADROOM = 128 << 20  # for the process itself, and what malloc keeps for later


@dataclass
class Result:
    code: int
    out: bytes
    err: str
    seconds: float

    @property
    def lines(self):
        return self.out.decode().splitlines()


class Node:
    """A repository, and the commands that are run on it.

    It looks for nobody unless mdns says so; inside is put in front of commands that go to the network.
    """

    def __init__(self, case, name="node", init=True, mdns=False, inside=()):
        self.case, self.name, self.repository = case, name, case.path(name)
        self.mdns, self.inside = mdns, inside
        self.environment = {"BITSWAP_PATH": str(self.repository)}
        if init:
            self.run("init")

    def run(self, *words, stdin=b"", seconds=60, code=0):
        """Runs a command to its end. code is the exit status it must have; None allows any."""
        began = time.monotonic()
        try:
            ended = subprocess.run(
                [*self.inside, self.case.bitswap, *map(str, self.quiet(words))],
                input=stdin,
                capture_output=True,
                timeout=seconds,
                env={**os.environ, **self.environment},
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: bitswap {' '.join(map(str, words))}: not done within {seconds} s") from None
        result = Result(ended.returncode, ended.stdout, ended.stderr.decode(errors="replace"), time.monotonic() - began)
        if code is not None and result.code != code:
            raise Failure(
                f"{self.name}: bitswap {brief(' '.join(map(str, words)))}: status {result.code}, wanted {code}: "
                f"{result.err[-800:]}{brief(result.out)}"
            )
        return result

    def quiet(self, words):
        alone = not self.mdns and (words[:1] == ("serve",) or words[:2] == ("block", "get"))
        return (*words, "--no-mdns") if alone else words

    def start(self, name, *words, before=()):
        command = [*before, *self.inside, self.case.bitswap, *self.quiet(words)]
        return self.case.start(f"{self.name}-{name}", command, self.environment)

    def serve(self, *words, listen="/ip4/127.0.0.1/tcp/0", before=()):
        """Starts `bitswap serve`; before is put in front of the command."""
        return Serving(self, ("serve", "--json", "--listen", listen, *words), before)

    def put(self, data):
        """Stores bytes as a raw block; returns its CID."""
        (cid,) = self.run("block", "put", "-", stdin=data).lines
        return cid

    def get(self, cid, *peers, timeout="20s"):
        """Fetches a block; returns its bytes and what `--json` says of it."""
        out = self.case.path(f"{self.name}-block")
        words = [word for peer in peers for word in ("--peer", peer)]
        result = self.run("block", "get", cid, "--json", "-o", out, "--timeout", timeout, *words)
        data = out.read_bytes()
        out.unlink()
        return data, json.loads(result.out)

    def read(self, cids):
        """The bytes of blocks that the repository holds, one behind the other; asks no peer."""
        return self.run("block", "get", *cids).out if cids else b""

    def has(self, cid):
        """Whether the repository holds a block; asks no peer."""
        return self.run("block", "stat", cid, code=None).code == 0

    def list(self):
        """The blocks held, as raw CIDs: they are known by their multihashes alone."""
        return self.run("block", "ls").lines

    def stat(self):
        """How the running node fares."""
        return json.loads(self.run("stat", "--json").out)

    def told(self, *words):
        """What a command says with `--json`, line by line."""
        return [json.loads(line) for line in self.run(*words, "--json").lines]

    def limit_hits(self):
        """How often each limit was hit that ever was, by name: those of Bitswap, Noise and Yamux."""
        stat = self.stat()
        connections = stat["connections"]
        handshakes = {**connections["tlsLimitHits"], **connections["noiseLimitHits"]}
        return {**stat["exchange"]["limitHits"], **handshakes, **connections["yamuxLimitHits"]}


class Serving:
    """`bitswap serve`, once it says that it listens."""

    def __init__(self, node, words, before):
        self.node = node
        self.process = node.start("serve", *words, before=before)
        first = json.loads(read_line(self.process, 20, "the line that says it listens"))
        self.id, self.addresses = first["peer"], first["addresses"]
        node.case.equal(first["event"], "listening", "the first event")
        self.address = self.addresses[0]
        node.case.check(self.address.endswith(f"/p2p/{self.id}"), f"{self.address} does not end in the peer")

    def stop(self, number=signal.SIGINT, seconds=10):
        """Ends it as Ctrl-C does; returns its exit status."""
        self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.process.name}: still there {seconds} s after {signal.Signals(number).name}") from None

    def kill(self):
        self.process.kill()
        self.process.wait()

    @property
    def memory(self):
        """Bytes that the process has in memory; pages of its files, the store's among them, do not count."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) << 10

    @property
    def processor_seconds(self):
        """That the process has spent since it began."""
        times = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def log_text(self):
        return self.process.log_path.read_text(errors="replace")
