"""A WebSocket server for the tests of tunnels, with Python's `websockets`.

Prints its port, then one line of JSON for each connection that ended: how, as it saw it.
"""

import asyncio
import json

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def handle(connection):
    path = connection.request.path
    try:
        if path.startswith("/close/"):
            await connection.close(int(path.rsplit("/", 1)[1]), "as asked")
        elif path == "/ping":
            answered = await connection.ping(b"from the server")
            await connection.send(f"{await answered >= 0}")
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass
    await connection.wait_closed()
    ended = {"path": path, "code": connection.close_code, "reason": connection.close_reason}
    print(json.dumps(ended), flush=True)


async def main():
    server = await serve(handle, "127.0.0.1", 0, subprotocols=["chat"], max_size=4 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
