"""The inputs of peers.py that are about TLS: each a row of the table."""

import socket
import ssl
import struct
import time

import tls
from inputs import Row, head

MANY = 400


def handshake_rows():
    group = "TLS: the ClientHello (deadlines of 1 s)"
    hello = tls.hello()

    def row(name, *pieces, pause=0):
        def run(client):
            try:
                for piece in pieces:
                    client.sendall(piece)
                    time.sleep(pause)
            except OSError:
                pass
            return tls.outcome(client)

        return Row(group, name, tls=run)

    yield row("a ClientHello, then nothing", hello)
    yield row("in records of 100 bytes", tls.records(hello[5:], 100))
    yield row("in records of 1 byte", tls.records(hello[5:], 1))
    yield row("byte by byte, for 5 s", *(bytes([byte]) for byte in hello[:100]), pause=0.05)
    yield row("nothing")
    yield row("half of it", hello[: len(hello) // 2])
    yield row("with 12 KiB of padding", tls.records(tls.padded(12 << 10), 16_000))
    yield row("with 20 KiB of padding, in two records", tls.records(tls.padded(20 << 10), 16_000))
    yield row("with 60 KiB of padding, in four records", tls.records(tls.padded(60 << 10), 16_000))
    endless = b"\x01\xff\xff\xff" + hello[9:43]
    yield row("a length of 16 MiB, and 1 MiB of it", tls.records(endless + bytes(1 << 20), 16_000))
    yield row("a record of 65,535 bytes", struct.pack(">BHH", 22, 0x0301, 65_535) + bytes(65_535))
    yield row("empty records, 10,000 of them", tls.record(b"") * 10_000)
    yield row("alerts (warnings), 10,000 of them", b"\x15\x03\x01\x00\x02\x01\x5a" * 10_000)
    yield row("TLS 1.0 alone", tls.hello(ssl.TLSVersion.TLSv1))
    yield row("TLS 1.1 alone", tls.hello(ssl.TLSVersion.TLSv1_1))
    yield row("of SSL 2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37))
    yield row("HTTP without TLS", head())
    yield row("a length in it that is longer than it", hello[:43] + b"\xff" + hello[44:])


def flood_rows():
    group = f"TLS: floods ({MANY} connections of one client, deadlines of 60 s)"
    hello = tls.hello()

    def flood(name, begin):
        def run(peer):
            # The first connections need what later ones share.
            for _ in range(20):
                serves_another(peer)
            before, held = peer.memory(), []
            for _ in range(MANY):
                client = socket.create_connection(("127.0.0.1", peer.tls))
                client.settimeout(5)
                held.append(begin(client))
            time.sleep(0.5)
            kept = sum(is_open(client) for client in held)
            each = (peer.memory() - before) / MANY / 1024
            serves = serves_another(peer)
            for client in held:
                client.close()
            return f"{kept} held, {each:.0f} KiB each" + ("" if serves else ", others are not served")

        return Row(group, name, flood=run)

    def sends(client, bytes_, first=0):
        client.sendall(bytes_)
        client.recv(first)
        return client

    def done(client):
        return tls.context().wrap_socket(client, server_hostname="a")

    yield flood("nothing is said", lambda client: client)
    yield flood("half a ClientHello", lambda client: sends(client, hello[: len(hello) // 2]))
    yield flood("a ClientHello but for its last byte, in records of 16 bytes", lambda client: sends(client, tls.records(hello[5:], 16)[:-1]))
    yield flood("12 KiB of a ClientHello", lambda client: sends(client, tls.records(tls.padded(14 << 10), 16_000)[: 12 << 10]))
    yield flood("a ClientHello, and nothing after the ServerHello", lambda client: sends(client, hello, 1))
    yield flood("a handshake that is done, and no request", done)


def is_open(client):
    client.settimeout(0.001)
    try:
        return bool(client.recv(65536, *([] if isinstance(client, ssl.SSLSocket) else [socket.MSG_PEEK])))
    except (TimeoutError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False


def serves_another(peer):
    try:
        client = socket.create_connection(("127.0.0.1", peer.tls), timeout=5, source_address=("127.0.0.2", 0))
        with tls.context().wrap_socket(client, server_hostname="a") as client:
            client.sendall(head())
            return client.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def rows():
    yield from handshake_rows()
    yield from flood_rows()
