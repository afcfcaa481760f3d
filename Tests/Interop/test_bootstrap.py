"""Nodes that are named, under a name of their own too, and stayed connected to."""

import socket
import struct
import subprocess
import threading

from harness import test
from node import Node


def name_server(records):
    """Answers questions for TXT records on port 53 of this machine, over UDP, from a list of texts for each name."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def serve():
        while True:
            query, asker = server.recvfrom(512)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            texts = records.get(".".join(labels), []) if query[at + 1 : at + 3] == b"\0\x10" else []
            head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, len(texts), 0, 0)
            answers = b"".join(
                b"\xc0\x0c" + struct.pack(">HHIHB", 16, 1, 60, len(text) + 1, len(text)) + text.encode() for text in texts
            )
            server.sendto(head + query[12 : at + 5] + answers, asker)

    threading.Thread(target=serve, daemon=True).start()


@test("a bootstrap list of a /dnsaddr name and of an address, dialled again when it was lost", seconds=90)
def bootstrap(t):
    resolver = t.file("resolv.conf", b"nameserver 127.0.0.1\noptions timeout:1\n")
    subprocess.run(["mount", "--bind", resolver, "/etc/resolv.conf"], check=True)
    records = {}
    name_server(records)
    first, second, node = Node(t, "first"), Node(t, "second"), Node(t)
    one, two = first.serve(), second.serve()
    records["_dnsaddr.bootstrap.test"] = ["v=spf1 -all", "dnsaddr=/dnsaddr/inner.bootstrap.test"]
    records["_dnsaddr.inner.bootstrap.test"] = [f"dnsaddr={one.address}"]
    serving = node.serve("--bootstrap", "/dnsaddr/bootstrap.test", "--bootstrap", two.address)

    def connected():
        return {peer["peer"]: peer["foundBy"] for peer in node.told("peers")}

    t.eventually(lambda: len(connected()) == 2, "both are connected", seconds=20)
    t.equal(connected(), {one.id: "bootstrap", two.id: "bootstrap"}, "who is connected, and how they were found")
    port = two.address.split("/")[4]
    t.equal(two.stop(), 0, "status of serve")
    t.eventually(lambda: len(connected()) == 1, "one is gone")
    two = second.serve(listen=f"/ip4/127.0.0.1/tcp/{port}")
    t.eventually(lambda: len(connected()) == 2, "it is dialled again", seconds=20)
    # Both were good, and are remembered over a restart that names neither.
    t.equal(serving.stop(), 0, "status of serve")
    serving = node.serve()
    t.eventually(lambda: len(connected()) == 2, "both are remembered", seconds=20)
    t.equal(set(connected().values()), {"remembered"}, "how they were found")
    for each in (one, two, serving):
        t.equal(each.stop(), 0, "status of serve")
