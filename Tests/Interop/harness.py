"""What a test is, what it may use, and what it says when something is off."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Failure(AssertionError):
    pass


TESTS = []


def test(title, seconds=60, long=False):
    """Marks a function as a test; it is ended, and has failed, after so many seconds. Long ones run when asked for."""

    def mark(function):
        TESTS.append((title, seconds, long, function))
        return function

    return mark


class Case:
    """One test: a directory of its own, everything it starts, and its assertions."""

    def __init__(self, directory, bitswap):
        self.directory, self.bitswap = Path(directory), bitswap
        self.checked, self.networks = 0, 0
        self.started = []

    def path(self, name):
        return self.directory / name

    def file(self, name, data):
        path = self.path(name)
        path.write_bytes(data)
        return path

    def log(self, *words):
        print(f"[{time.monotonic() - BEGAN:7.2f}]", *words, flush=True)

    # The network

    def slow_down(self, megabits, device="lo", within=()):
        """Lets what a device sends pass at so many megabits a second, and no faster."""
        rate = ["rate", f"{megabits}mbit", "burst", "512kb", "latency", "1s"]  # packets on loopback reach 64 KiB
        subprocess.run([*within, "tc", "qdisc", "replace", "dev", device, "root", "tbf", *rate], check=True)

    def network(self, megabits):
        """Makes a network of its own for a node, joined with the test's by a cable, on which the node sends at so many
        megabits a second. Returns the node's IPv4 address, and what to put in front of its command."""
        number = self.networks
        name, ours, theirs = f"net{number}", f"10.77.{number}.1", f"10.77.{number}.2"
        if not self.networks:
            # Seen by this test alone, which has a mount namespace to itself.
            subprocess.run("mount -t tmpfs none /run && mkdir /run/netns", shell=True, check=True)
        self.networks += 1
        inside = ["ip", "netns", "exec", name]
        for command in (
            f"ip netns add {name}",
            f"ip link add cable{number} type veth peer name cable netns {name}",
            f"ip addr add {ours}/24 dev cable{number}",
            f"ip link set cable{number} up",
            f"ip -n {name} addr add {theirs}/24 dev cable",
            f"ip -n {name} link set cable up",
            f"ip -n {name} link set lo up",
        ):
            subprocess.run(command.split(), check=True)
        self.slow_down(megabits, "cable", inside)
        return theirs, inside

    def segment(self, count, bridge="segment"):
        """Makes networks of their own for so many nodes, all on one bridge. Returns, for each, its IPv4 address, and what
        to put in front of its command."""
        if not self.networks:
            # Seen by this test alone, which has a mount namespace to itself.
            subprocess.run("mount -t tmpfs none /run && mkdir /run/netns", shell=True, check=True)
        self.networks += 1
        commands = [f"ip link add {bridge} type bridge mcast_snooping 0", f"ip link set {bridge} up"]
        places = []
        for number in range(1, count + 1):
            name, address = f"{bridge}{number}", f"10.78.{self.networks}.{number}"
            commands += [
                f"ip netns add {name}",
                f"ip link add {bridge}p{number} type veth peer name e0 netns {name}",
                f"ip link set {bridge}p{number} master {bridge} up",
                f"ip -n {name} addr add {address}/24 dev e0",
                f"ip -n {name} addr add fd78:{self.networks}::{number}/64 dev e0 nodad",
                f"ip -n {name} link set lo up",
                f"ip -n {name} link set e0 up",
            ]
            places.append((address, ("ip", "netns", "exec", name)))
        for command in commands:
            subprocess.run(command.split(), check=True)
        return places

    # Assertions

    def check(self, condition, what):
        self.checked += 1
        if not condition:
            raise Failure(what)

    def equal(self, found, wanted, what):
        self.check(found == wanted, f"{what}: found {brief(found)}, wanted {brief(wanted)}")

    def contains(self, text, part, what):
        self.check(part.lower() in text.lower(), f"{what}: nothing of {part!r} in {brief(text)}")

    def eventually(self, condition, what, seconds=10):
        """Asks until it is so, for what can only be seen from outside."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > end:
                self.check(False, f"{what}: not within {seconds} s")
            time.sleep(0.05)
        self.check(True, what)
        return found

    # Processes

    def start(self, name, command, environment=None, stdin=subprocess.DEVNULL):
        """Starts a process whose standard error goes to NAME.log in the test's directory."""
        log = self.path(f"{name}.log")
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=log.open("ab"),
            env={**os.environ, **(environment or {})},
        )
        process.name, process.log_path = name, log
        self.started.append(process)
        return process

    def stop_all(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()


def brief(value):
    if isinstance(value, bytes) and len(value) > 64:
        return f"{len(value)} bytes"
    text = repr(value)
    return text if len(text) < 600 else text[:600] + "…"


def read_line(process, seconds, what):
    """A line of the process's standard output, or a failure that says what was waited for."""
    if not hasattr(process, "rest"):
        process.rest = b""
    end = time.monotonic() + seconds
    while b"\n" not in process.rest:
        left = end - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise Failure(f"{process.name}: {what}: nothing within {seconds} s")
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            code = process.wait()
            tail = process.log_path.read_text(errors="replace")[-800:]
            raise Failure(f"{process.name}: {what}: it ended with status {code}: {tail}")
        process.rest += data
    line, process.rest = process.rest.split(b"\n", 1)
    return line.decode()


class Peer:
    """A driver in a process of its own: one JSON array in, one JSON object out, a line each."""

    def __init__(self, case, name, script, *arguments, environment=None, inside=()):
        self.case, self.name = case, name
        command = [*inside, sys.executable, HERE / script, *(json.dumps(a) for a in arguments)]
        self.process = case.start(name, command, environment, stdin=subprocess.PIPE)
        self.__dict__.update(json.loads(read_line(self.process, 60, "its first line")))

    def ask(self, *command):
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self, what, seconds):
        answer = json.loads(read_line(self.process, seconds, what))
        if "error" in answer:
            raise Failure(f"{self.name}: {what}: {answer['error']}")
        return answer["result"]

    def do(self, *command, seconds=60):
        self.ask(*command)
        return self.answer(str(command[0]), seconds)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def log_text(self):
        return self.process.log_path.read_text(errors="replace")


def serve_lines(first, do):
    """The other side of Peer for a driver that answers one command after the other."""
    out = os.fdopen(os.dup(1), "w", 1)
    os.dup2(2, 1)
    print(json.dumps(first), file=out, flush=True)
    for line in sys.stdin:
        try:
            answer = {"result": do(*json.loads(line))}
        except Exception as error:  # whatever it was, the test is told
            answer = {"error": repr(error)}
        print(json.dumps(answer), file=out, flush=True)


BEGAN = time.monotonic()
