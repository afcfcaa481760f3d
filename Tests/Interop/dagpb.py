"""Just enough of CIDs, dag-pb and UnixFS to make a file's blocks and to walk them, independent of what is tested."""

import hashlib

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
RAW, DAG_PB = 0x55, 0x70
CHUNK, LINKS_A_NODE = 256 * 1024, 174


def base58(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def unbase58(text):
    number = 0
    for letter in text:
        number = number * 58 + BASE58.index(letter)
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def base32(data):
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return "".join(BASE32[int(bits[i : i + 5], 2)] for i in range(0, len(bits), 5))


def unbase32(text):
    bits = "".join(f"{BASE32.index(letter):05b}" for letter in text)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) // 8 * 8, 8))


def multihash(data):
    return b"\x12\x20" + hashlib.sha256(data).digest()


def cid_v0(data):
    """The text of the CIDv0 of a dag-pb block."""
    return base58(multihash(data))


def cid_v1(data, codec=RAW):
    return "b" + base32(bytes([1, codec]) + multihash(data))


def cid_bytes(text):
    return unbase58(text) if text.startswith("Qm") else unbase32(text[1:])


def cid_text(cid):
    return base58(cid) if cid[0] == 0x12 else "b" + base32(cid)


def matches(text, data):
    """Whether a SHA-256 CID is that of these bytes."""
    return cid_bytes(text).endswith(multihash(data))


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def read_varint(data, at):
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return number, at


def field(tag, value):
    if isinstance(value, int):
        return varint(tag << 3) + varint(value)
    return varint(tag << 3 | 2) + varint(len(value)) + value


def fields(data):
    """The fields of a protobuf message, as (tag, number or bytes)."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        value, at = read_varint(data, at)
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        yield key >> 3, value


def leaf(chunk):
    file = field(1, 2) + (field(2, chunk) if chunk else b"") + field(3, len(chunk))
    return field(1, file)


def parent(children):
    """A node over (cid bytes, bytes of file below, size of the tree below)."""
    out = b"".join(field(2, field(1, cid) + field(2, b"") + field(3, tree)) for cid, _, tree in children)
    file = field(1, 2) + field(3, sum(size for _, size, _ in children))
    return out + field(1, file + b"".join(field(4, size) for _, size, _ in children))


def blocks_of_file(data, size=CHUNK):
    """The blocks of a file as Kubo makes them by default (dag-pb leaves of 256 KiB, CIDv0); the root comes last."""
    blocks, level = [], []
    for at in range(0, max(len(data), 1), size):
        chunk = data[at : at + size]
        block = leaf(chunk)
        blocks.append(block)
        level.append((multihash(block), len(chunk), len(block)))
    while len(level) > 1:
        above = []
        for at in range(0, len(level), LINKS_A_NODE):
            children = level[at : at + LINKS_A_NODE]
            block = parent(children)
            blocks.append(block)
            above.append((multihash(block), sum(c[1] for c in children), len(block) + sum(c[2] for c in children)))
        level = above
    return blocks


def links(block):
    """The CIDs that a dag-pb block links to, as text, in order."""
    return [cid_text(dict(fields(value))[1]) for tag, value in fields(block) if tag == 2]


def content(block):
    """The bytes of the file that a dag-pb leaf holds."""
    return dict(fields(dict(fields(block))[1])).get(2, b"")


def walk(root, fetch):
    """The bytes of the file below root; fetch takes a list of CIDs and returns their blocks in that order."""

    def below(cid, block):
        if cid.startswith("b") and cid_bytes(cid)[1] == RAW:
            return [block]
        children = links(block)
        if not children:
            return [content(block)]
        return [part for child, data in zip(children, fetch(children)) for part in below(child, data)]

    return b"".join(below(root, fetch([root])[0]))
