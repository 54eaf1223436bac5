"""A WebSocket client for the tests of tunnels, with Python's `websockets`.

    client.py PROXY_ADDRESS [CA]      with TLS where an authority is given

Says what it did; what is not as it should be is an exception, and status 1.
"""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

if len(sys.argv) == 3:
    URL, TLS = f"wss://{sys.argv[1]}", {"ssl": ssl.create_default_context(cafile=sys.argv[2])}
else:
    URL, TLS = f"ws://{sys.argv[1]}", {}


def to(path, **options):
    options = {"subprotocols": ["other", "chat"], "max_size": 4 << 20, **TLS, **options}
    return connect(URL + path, proxy=None, **options)


async def echo():
    async with to("/echo") as connection:
        assert connection.subprotocol == "chat", connection.subprotocol
        extensions = [extension.name for extension in connection.protocol.extensions]
        assert extensions == ["permessage-deflate"], extensions
        large = bytes(range(256)) * 4096
        for message in ["text", "schön \U0001f680", "", b"\x00\xff", large, "x" * (1 << 20)]:
            await connection.send(message)
            assert await connection.recv() == message
        await connection.send(["in ", "three ", "fragments"])
        assert await connection.recv() == "in three fragments"
        async with asyncio.timeout(20):
            assert await (await connection.ping(b"from the client")) >= 0
    async with to("/echo", compression=None) as connection:
        assert not connection.protocol.extensions
        messages = [f"{number}" * number for number in range(500)]
        await asyncio.gather(send_all(connection, messages), receive_all(connection, messages))


async def send_all(connection, messages):
    for message in messages:
        await connection.send(message)


async def receive_all(connection, messages):
    for message in messages:
        assert await connection.recv() == message


async def ping_from_the_server():
    async with to("/ping") as connection:
        assert await connection.recv() == "True"


async def close_codes():
    for code in (1000, 1001, 4000):
        async with to(f"/close/{code}") as connection:
            try:
                await connection.recv()
                raise AssertionError("it was to be closed")
            except ConnectionClosed:
                pass
            seen = connection.close_code, connection.close_reason
            assert seen == (code, "as asked"), seen
        async with to(f"/closed/{code}") as connection:
            await connection.close(code, "of my own")


async def main():
    for part in (echo, ping_from_the_server, close_codes):
        await part()
        print(part.__name__, flush=True)


asyncio.run(main())
