"""A neighbour on the network that answers for others, tells of thousands, and sends what is no mDNS.

    neighbour.py OWN-IP PEER-ID

Says in the end, as a line of JSON, for how long it did so and how often it was dialled where it said that others are.
"""

import json
import os
import random
import select
import socket
import struct
import sys
import time

GROUP, PORT = "224.0.0.251", 5353
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def name(*labels):
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


SERVICE = (b"_p2p", b"_udp", b"local")


def record(owner, kind, data, seconds=600):
    return owner + struct.pack(">HHIH", kind, 1, seconds, len(data)) + data


def answer(label, strings, seconds=600):
    peer = name(label, *SERVICE)
    text = b"".join(bytes([len(s)]) + s for s in strings)
    head = struct.pack(">HHHHHH", 0, 0x8400, 0, 2, 0, 0)
    return head + record(name(*SERVICE), 12, peer, seconds) + record(peer, 16, text, seconds)


def main(own, victim):
    # The Python of the test makes no Ed25519 keys; a peer ID that is a hash needs none.
    def peer():
        return base58(b"\x12\x20" + os.urandom(32))

    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    out.bind(("0.0.0.0", PORT))
    out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
    heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    heard.bind(("", PORT))
    heard.setsockopt(
        socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(own)
    )
    other_port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other_port.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
    listener = socket.create_server((own, 4001), backlog=512)
    listener.setblocking(False)
    dials = 0

    def count_dials():
        nonlocal dials
        while select.select([listener], [], [], 0)[0]:
            connection, _ = listener.accept()
            connection.close()
            dials += 1

    def send(data, through=out):
        through.sendto(data, (GROUP, PORT))

    began = time.monotonic()
    mine = f"dnsaddr=/ip4/{own}/tcp/4001/p2p/"
    # The other's name, at our address.
    send(answer(b"a" * 40, [(mine + victim).encode()]))
    # Addresses of other machines and of this very one; more than fit one name; names without end.
    for bad in ("/ip4/192.0.2.1/tcp/1", "/ip4/127.0.0.1/tcp/22", "/dns4/example.org/tcp/443", "/ip4/8.8.8.8/tcp/53"):
        send(answer(b"b" * 40, [f"dnsaddr={bad}/p2p/{peer()}".encode()]))
    send(answer(b"c" * 40, [f"dnsaddr=/ip4/{own}/tcp/{port}/p2p/{victim}".encode() for port in range(1, 16)]))
    send(answer(b"c" * 40, [f"dnsaddr=/ip4/{own}/tcp/{port}/p2p/{victim}".encode() for port in range(16, 31)]))
    for number in range(3000):
        send(answer(b"%d-" % number + b"d" * 32, [(mine + peer()).encode()]))
        if number % 100 == 0:
            count_dials()
            time.sleep(0.01)
    # From another port.
    send(answer(b"e" * 40, [(mine + peer()).encode()]), other_port)
    # Names of 64 bytes, pointers in circles, lengths that lie, noise.
    good = answer(b"f" * 40, [(mine + peer()).encode()])
    send(good.replace(bytes([40]) + b"f" * 40, bytes([64]) + b"f" * 64))
    send(struct.pack(">HHHHHH", 0, 0x8400, 0, 1, 0, 0) + b"\xc0\x0c" + struct.pack(">HHIH", 12, 1, 9, 2) + b"\xc0\x0c")
    send(good[:-9])
    chance = random.Random(5)
    for _ in range(2000):
        broken = bytearray(good)
        for _ in range(chance.randrange(1, 9)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        send(bytes(broken))
    send(os.urandom(1400))
    # Goodbyes in the others' names: whatever is heard, taken back.
    question = struct.pack(">HHHHHH", 0, 0, 1, 0, 0, 0) + name(*SERVICE) + struct.pack(">HH", 12, 1)
    end = time.monotonic() + 3
    next_question = 0
    while (now := time.monotonic()) < end:
        # More than once: what comes behind so many packets is lost where they have filled the socket's buffer.
        if now >= next_question:
            send(question)
            next_question = now + 0.5
        if select.select([heard], [], [], 0.1)[0]:
            data, source = heard.recvfrom(9000)
            marker = data.find(bytes([4]) + b"_p2p", 12)
            if source[0] != own and data[2] & 0x80 and marker >= 0:
                rest = data[12 + len(name(*SERVICE)) + 10 :]
                if rest and 32 <= rest[0] <= 63:
                    send(answer(rest[1 : 1 + rest[0]], [], seconds=0))
    while time.monotonic() < began + 10:
        count_dials()
        time.sleep(0.05)
    print(json.dumps({"seconds": round(time.monotonic() - began), "dials": dials}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
