"""A TLS client as Python has it: it resumes its sessions, as some libp2p nodes do unasked."""

import socket
import ssl
from pathlib import Path

from harness import test
from node import Node


KNOWS_AES = " aes " in Path("/proc/cpuinfo").read_text()


def context(t, name="peer"):
    """With a certificate in the name of a new identity."""
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.security.tls.certificate import create_cert_template, generate_certificate

    certificate, key = generate_certificate(create_new_key_pair().private_key, create_cert_template())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(t.file(f"{name}.certificate", certificate.encode()), t.file(f"{name}.key", key.encode()))
    context.set_alpn_protocols(["libp2p"])
    return context


def agree(connection, protocol):
    """Proposes a protocol in multistream-select; returns the answer."""
    for line in ("/multistream/1.0.0", protocol):
        connection.sendall(bytes([len(line) + 1]) + line.encode() + b"\n")
    answer = b""
    while answer.count(b"\n") < 2:
        received = connection.recv(1)
        if not received:
            raise ConnectionError(f"closed after {answer}")
        answer += received
    return answer.split(b"\n")[1][1:].decode()


def connect(t, node, serving, tls, session):
    """One connection that resumes a session, if there is one: who we are by it, its session, whether it was resumed."""
    _, _, host, _, port, *_ = serving.address.split("/")
    with socket.create_connection((host, int(port)), 10) as connection:
        t.equal(agree(connection, "/tls/1.0.0"), "/tls/1.0.0", "what secures the connection")
        with tls.wrap_socket(connection, session=session) as secured:
            t.equal(agree(secured, "/yamux/1.0.0"), "/yamux/1.0.0", "what multiplexes it")
            if KNOWS_AES:
                # With a key of 128 or of 256 bits, as the client prefers.
                t.contains(secured.cipher()[0], "_GCM_", "the cipher")
            identities = {peer["peer"] for peer in node.told("peers")}
            t.equal(len(identities), 1, "identities that are connected")
            return identities.pop(), secured.session, secured.session_reused


@test("a peer that resumes a TLS session is still the one it was, and no other is")
def resumed(t):
    node, tls = Node(t), context(t)
    serving = node.serve()
    first, session, reused = connect(t, node, serving, tls, None)
    t.check(not reused, "the first session is resumed")
    for _ in range(2):
        identity, session, reused = connect(t, node, serving, tls, session)
        t.equal((identity, reused), (first, True), "who resumes a session, and whether it was resumed")

    # The key that tickets are sealed with is as old as the process.
    t.equal(serving.stop(), 0, "status of serve")
    serving = node.serve()
    identity, session, reused = connect(t, node, serving, tls, session)
    t.equal((identity, reused), (first, False), "who resumes a session of before, and whether it was resumed")

    t.eventually(lambda: node.told("peers") == [], "the connections are gone")
    identity, *_ = connect(t, node, serving, context(t, "other"), None)
    t.check(identity != first, "two certificates are one peer")
    t.equal(serving.stop(), 0, "status of serve")
