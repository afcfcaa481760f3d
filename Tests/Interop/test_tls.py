"""A TLS client as Python has it: it resumes its sessions, as some libp2p nodes do unasked."""

import socket
import ssl

from harness import test
from node import Node


def context(t):
    """With a certificate in the name of a new identity."""
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.security.tls.certificate import create_cert_template, generate_certificate

    certificate, key = generate_certificate(create_new_key_pair().private_key, create_cert_template())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(t.file("certificate", certificate.encode()), t.file("key", key.encode()))
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


@test("a peer that resumes a TLS session is still the one it was")
def resumed(t):
    node, tls, session = Node(t), context(t), None
    serving = node.serve()
    _, _, host, _, port, *_ = serving.address.split("/")
    for number in range(3):
        with socket.create_connection((host, int(port)), 10) as connection:
            t.equal(agree(connection, "/tls/1.0.0"), "/tls/1.0.0", "what secures the connection")
            with tls.wrap_socket(connection, session=session) as secured:
                t.equal(agree(secured, "/yamux/1.0.0"), "/yamux/1.0.0", "what multiplexes it")
                t.equal(secured.session_reused, number > 0, "whether the session was resumed")
                session = secured.session
                peers = [line.split()[0].split("/")[-1] for line in node.run("peers").lines]
                t.equal(len(set(peers)), 1, "identities that are connected")
                identity = peers[0] if number == 0 else identity
                t.equal(peers[0], identity, "the peer")
    t.equal(serving.stop(), 0, "status of serve")
