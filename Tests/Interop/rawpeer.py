"""A libp2p peer on a plain socket, TCP + Noise + Yamux, that does just what a test says: for what no honest peer does."""

import hashlib
import select
import socket
import struct
import threading
import time
from collections import Counter

from dagpb import base58, cid_bytes, field, varint
from harness import Failure

BITSWAP = "/ipfs/bitswap/1.2.0"
MULTISTREAM = "/multistream/1.0.0"
FRAME = struct.Struct(">BBHII")  # Yamux: version, type, flags, stream, length
DATA, WINDOW, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
INITIAL_WINDOW = 256 * 1024
NOISE_PAYLOAD = 65_519
WANT_BLOCK, WANT_HAVE = 0, 1


class Refused(Failure):
    """The node has closed the connection, or reset the stream."""


class RawPeer:
    """A connection to a node. Nothing is read from it but by pump, and by send between the frames that it sends.

    What comes on streams is counted and thrown away, unless keep says to keep what comes on those that the node opened;
    with credit it is given back to the node's window. window is what a stream that the node opens gets above the 256 KiB
    that every stream has.
    """

    def __init__(self, address, credit=True, window=0, timeout=20, keep=False):
        _, version, host, _, port, *_ = address.split("/")
        self.credit, self.window, self.reader = credit, window, None
        self.keep, self.kept = keep, b""
        self.lock = threading.Condition()  # notified when a window opens or closes for good
        self.windows, self.dead, self.plain, self.buffer = {}, set(), b"", b""
        self.theirs = {}  # streams that the node opened: what came before the protocol was agreed on, then None
        self.received, self.resets, self.ended = 0, 0, None
        self.came = Counter()  # what is in received, by stream
        self.next = 1
        self.socket = socket.create_connection((host, int(port)), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._negotiate("/noise", self.socket.recv, self.socket.sendall)
            self._handshake()
            self._negotiate("/yamux/1.0.0", self._take, self._seal)
            self.buffer = self.plain
        except (OSError, EOFError) as error:
            self.close()
            raise Refused(f"no connection to {address}: {error!r}") from None

    # The connection

    def _negotiate(self, protocol, receive, send):
        send(b"".join(line(text) for text in (MULTISTREAM, protocol)))
        for wanted in (MULTISTREAM, protocol):
            size = exactly(receive, 1)[0]  # all of these are shorter than 128 bytes
            if exactly(receive, size) != f"{wanted}\n".encode():
                raise Failure(f"the node does not speak {protocol}")

    def _handshake(self):
        from nacl.signing import SigningKey
        from noise.connection import Keypair, NoiseConnection
        from nacl.public import PrivateKey

        identity, static = SigningKey.generate(), PrivateKey.generate()
        key = field(1, 1) + field(2, bytes(identity.verify_key))
        self.id = base58(b"\x00" + bytes([len(key)]) + key)
        signature = identity.sign(b"noise-libp2p-static-key:" + bytes(static.public_key)).signature
        self.noise = NoiseConnection.from_name(b"Noise_XX_25519_ChaChaPoly_SHA256")
        self.noise.set_as_initiator()
        self.noise.set_keypair_from_private_bytes(Keypair.STATIC, bytes(static))
        self.noise.start_handshake()
        self._write(self.noise.write_message())
        self.noise.read_message(self._read())
        self._write(self.noise.write_message(field(1, key) + field(2, signature)))

    def _write(self, message):
        self.socket.sendall(len(message).to_bytes(2, "big") + message)

    def _read(self):
        return exactly(self.socket.recv, int.from_bytes(exactly(self.socket.recv, 2), "big"))

    def _seal(self, data):
        self.socket.sendall(
            b"".join(
                len(part).to_bytes(2, "big") + part
                for at in range(0, len(data), NOISE_PAYLOAD)
                for part in [bytes(self.noise.encrypt(data[at : at + NOISE_PAYLOAD]))]
            )
        )

    def _take(self, count):
        if not self.plain:
            self.plain = bytes(self.noise.decrypt(self._read()))
        taken, self.plain = self.plain[:count], self.plain[count:]
        return taken

    def close(self):
        self.socket.close()

    # Streams

    def open(self, protocol=BITSWAP, negotiate=True):
        """Opens a stream; what is sent on it follows the proposal at once."""
        with self.lock:
            stream, self.next = self.next, self.next + 2
            self.windows[stream] = INITIAL_WINDOW
            self._frame(WINDOW, SYN, stream, 0)
            if negotiate:
                self.send(stream, line(MULTISTREAM) + line(protocol))
            return stream

    def send(self, stream, data, seconds=30):
        """Sends bytes as the node's window allows. Throws Refused when the stream or the connection is no more."""
        view, end = memoryview(data), time.monotonic() + seconds
        while view:
            with self.lock:
                if stream in self.dead or self.ended:
                    raise Refused(f"stream {stream} is closed; the connection: {self.ended}")
                count = min(len(view), self.windows[stream], NOISE_PAYLOAD - FRAME.size)
                if count:
                    self.windows[stream] -= count
                    self._frame(DATA, 0, stream, count, bytes(view[:count]))
                    view = view[count:]
                if not count and time.monotonic() > end:
                    raise Failure(f"stream {stream}: {len(view)} bytes are left after {seconds} s")
                if not count and self.reader:
                    self.lock.wait(0.1)
            if not self.reader:
                self.pump(0 if count else 0.1)

    def _frame(self, kind, flags, stream, length, payload=b""):
        try:
            self._seal(FRAME.pack(0, kind, flags, stream, length) + payload)
        except OSError as error:
            self.ended = self.ended or repr(error)
            raise Refused(f"the connection is closed: {error!r}") from None

    def pump(self, seconds=0):
        """Reads and answers what the node sends, for as long as it comes, and so many seconds more. Returns whether
        anything came."""
        came = False
        while not self.ended and select.select([self.socket], [], [], seconds)[0]:
            with self.lock:
                if not select.select([self.socket], [], [], 0)[0]:
                    continue  # another thread was faster
                came = True
                try:
                    self.buffer += bytes(self.noise.decrypt(self._read()))
                    while len(self.buffer) >= FRAME.size:
                        _, kind, flags, stream, length = FRAME.unpack_from(self.buffer)
                        end = FRAME.size + (length if kind == DATA else 0)
                        if len(self.buffer) < end:
                            break
                        payload, self.buffer = self.buffer[FRAME.size : end], self.buffer[end:]
                        self._received(kind, flags, stream, length, payload)
                except (OSError, EOFError) as error:
                    self.ended = repr(error)
                self.lock.notify_all()
            seconds = 0
        return came

    def _received(self, kind, flags, stream, length, payload):
        if kind == PING and flags & SYN:
            return self._frame(PING, ACK, 0, length)
        if kind == GO_AWAY:
            self.ended = f"the node goes away, code {length}"
        if kind in (PING, GO_AWAY):
            return
        if flags & SYN:
            self.theirs[stream] = b""
            self._frame(WINDOW, ACK, stream, self.window)
        if flags & RST:
            self.resets += 1
            self.dead.add(stream)
        if kind == WINDOW:
            self.windows[stream] = self.windows.get(stream, 0) + length
        elif payload:
            self._data(stream, payload)

    def _data(self, stream, payload):
        self.received += len(payload)
        self.came[stream] += len(payload)
        proposal = self.theirs.get(stream)
        if self.keep and stream in self.theirs:
            self.kept += payload
        if proposal is not None:
            proposal += payload
            lines = proposal.split(b"\n")
            answer, self.theirs[stream] = b"", proposal
            if len(lines) > 2:
                protocol = lines[1][1:].decode()
                if "bitswap" in protocol:
                    answer, self.theirs[stream] = line(MULTISTREAM) + line(protocol), None
                else:
                    return self._frame(WINDOW, RST, stream, 0)
            if answer:
                self._frame(DATA, 0, stream, len(answer), answer)
        if self.credit:
            self._frame(WINDOW, 0, stream, len(payload))

    def read_until(self, count, seconds=20, stream=None):
        """Pumps until so many bytes came, on all streams together or on one."""
        end = time.monotonic() + seconds
        while (came := self.received if stream is None else self.came[stream]) < count:
            if self.ended or time.monotonic() > end:
                raise Failure(f"{came} bytes came from the node, not {count}: {self.ended}")
            self.pump(0.1)

    def keep_reading(self):
        """From now on, in a thread of its own, for as long as the connection lasts."""

        def read():
            try:
                while not self.ended:
                    self.pump(0.2)
            except (Refused, ValueError):
                pass  # ValueError: it was closed

        self.reader = threading.Thread(target=read, daemon=True)
        self.reader.start()
        return self


def line(text):
    return varint(len(text) + 1) + text.encode() + b"\n"


def exactly(receive, count):
    data = b""
    while len(data) < count:
        part = receive(count - len(data))
        if not part:
            raise EOFError("the node has closed the connection")
        data += part
    return data


# Messages


def framed(message):
    return varint(len(message)) + message


def wantlist(entries, full=False):
    """A message of entries, each a CID in bytes and what else is said of it: see want and cancel."""
    return framed(field(1, b"".join(field(1, entry) for entry in entries) + (field(2, 1) if full else b"")))


def want(cid, kind=WANT_BLOCK, priority=1, dont_have=True):
    cid = cid_bytes(cid) if isinstance(cid, str) else cid
    return field(1, cid) + field(2, priority) + field(4, kind) + field(5, int(dont_have))


def cancel(cid):
    return field(1, cid_bytes(cid) if isinstance(cid, str) else cid) + field(3, 1)


def blocks_message(blocks):
    """Blocks, with the prefix of a raw CIDv1."""
    return framed(field(1, b"") + b"".join(field(3, field(1, b"\x01\x55\x12\x20") + field(2, b)) for b in blocks))


def made_up_cid(number):
    return b"\x01\x55\x12\x20" + hashlib.sha256(b"nobody has this: %d" % number).digest()
