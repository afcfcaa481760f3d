"""py-libp2p 0.8.1, driven in a process of its own: an honest peer, or one that lies."""

import json
import os
import sys

from harness import Peer

BITSWAP = ["/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.0.0"]


class PyLibp2p(Peer):
    """A py-libp2p host. protocols narrows what it speaks; lie makes it a server that lies in the named way."""

    def __init__(
        self, case, name="pylibp2p", port=4201, protocols=BITSWAP, lie=None, ip="127.0.0.1", inside=(), mdns=False
    ):
        options = {"listen": f"/ip4/{ip}/tcp/{port}", "protocols": protocols, "lie": lie, "mdns": mdns}
        super().__init__(case, name, "pylibp2p.py", options, inside=inside)

    def connect(self, address):
        self.do("connect", address, seconds=20)

    def peers(self):
        return self.do("peers")

    def ping(self, peer):
        return self.do("ping", peer)

    def put(self, data, codec=0x55, cid=None):
        """Stores a block; returns its CID. It knows blocks by their CIDs, not by their hashes alone: cid gives it one."""
        return self.do("put", data.hex(), codec, cid)

    def get(self, cid, peer, seconds=20):
        """Fetches a block from a peer; returns its bytes and the protocol that was spoken."""
        answer = self.do("get", cid, peer, seconds, seconds=seconds + 5)
        return bytes.fromhex(answer["bytes"]), answer["protocol"]

    def get_many(self, cids, peer, seconds=60):
        blocks = self.do("get_many", cids, peer, seconds, seconds=seconds + 5)
        return [bytes.fromhex(block) for block in blocks]

    def get_from_all(self, cids, seconds):
        """Begins to fetch blocks from all that it is connected to; the answer is how many it has in the end."""
        self.ask("get_from_all", cids, seconds)

    def has(self, cid, peer):
        """Whether the peer says that it has a block."""
        return self.do("has", cid, peer)

    def push(self, peer, data):
        """Sends a block that nobody asked for; returns its CID."""
        return self.do("push", peer, data.hex())

    def told(self):
        """What a liar has sent so far: [what, CID asked for, CID of the bytes sent]."""
        return self.do("told")


def main(options):
    import libp2p.bitswap.client as client
    import trio
    import varint
    from libp2p import new_host
    from libp2p.bitswap.cid import cid_to_text, compute_cid_v1, parse_cid
    from libp2p.bitswap.messages import create_message
    from libp2p.host.ping import PingService
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import info_from_p2p_addr
    from multiaddr import Multiaddr

    protocols = options["protocols"]
    plain_prefix = client.get_cid_prefix

    def prefix(cid):
        # py-libp2p gives a CIDv0 an empty prefix.
        return b"\x00\x70\x12\x20" if parse_cid(cid).version == 0 else plain_prefix(cid)

    client.get_cid_prefix = prefix

    class Client(client.BitswapClient):
        """Its own server answers on the stream of the request, which nobody else reads; this one opens a stream."""

        def __init__(self, host):
            super().__init__(host)
            self.supported_protocols = list(protocols)
            self.outgoing = {}

        def _on_message_queue_stream_opened(self, stream, peer):
            pass

        async def send(self, peer, message):
            data = message if isinstance(message, bytes) else message.SerializeToString()
            lock, _ = self.outgoing.setdefault(peer, [trio.Lock(), None])
            async with lock:
                for _ in range(2):
                    try:
                        if self.outgoing[peer][1] is None:
                            self.outgoing[peer][1] = await self.host.new_stream(peer, protocols)
                        return await self.outgoing[peer][1].write(varint.encode(len(data)) + data)
                    except Exception:
                        self.outgoing[peer][1] = None
            raise ConnectionError(f"cannot send to {peer}")

        async def _process_wantlist(self, wantlist, peer, stream):
            for entry in wantlist.entries:
                if not entry.cancel:
                    await self.answer(peer, entry, parse_cid(entry.block))

        async def answer(self, peer, entry, cid):
            data = await self.block_store.get_block(cid)
            if data is None:
                if entry.sendDontHave:
                    await self.send(peer, create_message(block_presences=[(cid, False)]))
            elif entry.wantType == 1:
                await self.send(peer, create_message(block_presences=[(cid, True)]))
            elif protocols == BITSWAP[2:]:
                await self.send(peer, create_message(blocks_v100=[data]))
            else:
                await self.send(peer, create_message(blocks_v110=[(prefix(cid), data)]))

        async def _handle_stream(self, stream):
            # Reads to the end; its own stops after a minute of silence.
            try:
                while (message := await self._read_message(stream)) is not None:
                    await self._process_message(message, stream.muxed_conn.peer_id, stream)
            finally:
                await stream.close()

    class Liar(Client):
        """Says that it has everything, and answers with something else."""

        told = []

        async def answer(self, peer, entry, cid):
            if entry.wantType == 1:
                return await self.send(peer, create_message(block_presences=[(cid, True)]))
            data = b"not what was asked for: " + os.urandom(16)
            if options["lie"] == "altered":  # the right prefix, other bytes
                message = create_message(blocks_v110=[(prefix(cid), data)])
            elif options["lie"] == "unprefixed":  # the field of 1.0.0
                message = create_message(blocks_v100=[data])
            elif options["lie"] == "identity":  # a hash function of the sender's choice, which any bytes satisfy
                message = create_message(blocks_v110=[(b"\x01\x55\x00" + bytes([len(data)]), data)])
            elif options["lie"] == "whole cid":  # a CID in the place of its prefix
                message = create_message(blocks_v110=[(cid.buffer, data)])
            elif options["lie"] == "garbage":  # a frame that is no message
                message = b"\x0a\xff\xff\xff\xff\x0f" + data
            self.told.append([options["lie"], cid_to_text(cid), cid_to_text(compute_cid_v1(data))])
            await self.send(peer, message)

    async def run():
        listen = [Multiaddr(options["listen"])]
        host = new_host(listen_addrs=listen, enable_mDNS=options["mdns"])
        async with host.run(listen), trio.open_nursery() as nursery:
            bitswap = (Liar if options["lie"] else Client)(host)
            bitswap.set_nursery(nursery)
            await bitswap.start()
            say({"id": str(host.get_id()), "address": str(host.get_addrs()[0])})

            async def get(cid, peer, seconds):
                peer = ID.from_string(peer)
                data = await bitswap.new_session().get_block(cid, peer, timeout=seconds)
                protocol = bitswap.get_or_create_message_queue(peer).negotiated_protocol
                return {"bytes": data.hex(), "protocol": protocol}

            async def get_many(cids, peer, seconds):
                session = bitswap.new_session()
                blocks = await session.get_blocks_batch(cids, ID.from_string(peer), timeout=seconds)
                return [blocks[parse_cid(cid).buffer].hex() for cid in cids]

            async def get_from_all(cids, seconds):
                # The store takes only what matches; the bytes themselves would take long through this pipe.
                blocks = await bitswap.new_session().get_blocks_batch(cids, timeout=seconds)
                return len(blocks)

            async def has(cid, peer):
                peer = ID.from_string(peer)
                cid = parse_cid(cid)
                await bitswap.want_block(cid, want_type=1, send_dont_have=True)
                bitswap.get_or_create_message_queue(peer).add_wants(
                    [cid], {cid: {"want_type": 1, "send_dont_have": True}}
                )
                with trio.fail_after(10):
                    while True:
                        if peer in bitswap.presence_manager.get_dont_have_peers(cid):
                            return False
                        if peer in bitswap.presence_manager.get_expected_peers(cid):
                            return True
                        await trio.sleep(0.02)

            async def connect(address):
                await host.connect(info_from_p2p_addr(Multiaddr(address)))

            async def put(data, codec, cid):
                data = bytes.fromhex(data)
                cid = parse_cid(cid or compute_cid_v1(data, codec))
                await bitswap.block_store.put_block(cid, data)
                return cid_to_text(cid)

            async def push(peer, data):
                data = bytes.fromhex(data)
                cid = parse_cid(compute_cid_v1(data))
                await bitswap.send(ID.from_string(peer), create_message(blocks_v110=[(prefix(cid), data)]))
                return cid_to_text(cid)

            async def peers():
                return [str(peer) for peer in host.get_connected_peers()]

            async def ping(peer):
                return await PingService(host).ping(ID.from_string(peer), 3)

            async def told():
                return bitswap.told

            commands = {f.__name__: f for f in (get, get_many, get_from_all, has, connect, put, push, peers, ping, told)}
            async for name, *arguments in commands_in():
                try:
                    say({"result": await commands[name](*arguments)})
                except Exception as error:  # whatever it was, the test is told
                    say({"error": repr(error)})
            nursery.cancel_scope.cancel()

    async def commands_in():
        rest = b""
        async for data in trio.lowlevel.FdStream(os.dup(0)):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def say(value):
        print(json.dumps(value), flush=True)

    trio.run(run)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
