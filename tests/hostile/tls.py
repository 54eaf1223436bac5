"""TLS by hand: a ClientHello in pieces, and what a server says to it (RFC 8446)."""

import ssl
import struct

HANDSHAKE, ALERT = 22, 21
ALERTS = {
    10: "unexpected_message", 22: "record_overflow", 40: "handshake_failure", 47: "illegal_parameter",
    50: "decode_error", 70: "protocol_version", 80: "internal_error", 112: "unrecognized_name",
}  # fmt: skip


def context(version=None):
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if version:
        made.set_ciphers("ALL:@SECLEVEL=0")
        made.minimum_version = made.maximum_version = version
    return made


def hello(version=None):
    """A ClientHello for the name `a`, in one record."""
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context(version).wrap_bio(coming, going, server_hostname="a")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return going.read()


def record(payload):
    return struct.pack(">BHH", HANDSHAKE, 0x0301, len(payload)) + payload


def records(message, size):
    """A handshake message in records of so many bytes each."""
    return b"".join(record(message[at : at + size]) for at in range(0, len(message), size))


def message(body):
    return b"\x01" + struct.pack(">I", len(body))[1:] + body


def padded(size):
    """A ClientHello message with so many bytes of padding (RFC 7685), which needs a record or several."""
    body = hello()[9:]
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    extensions = body[at + 2 :]
    # OpenSSL's own padding comes last, where there is any; a second of a type is refused.
    extensions = b"".join(piece for kind, piece in split(extensions) if kind != 21)
    extensions += struct.pack(">HH", 21, size) + bytes(size)
    return message(body[:at] + struct.pack(">H", len(extensions)) + extensions)


def split(extensions):
    while extensions:
        kind, length = struct.unpack(">HH", extensions[:4])
        yield kind, extensions[: 4 + length]
        extensions = extensions[4 + length :]


def outcome(client):
    """What the other side says, and whether it closes."""
    came, ended = b"", True
    try:
        while more := client.recv(65536):
            came += more
    except TimeoutError:
        ended = False
    except OSError:
        pass
    if came[:1] == bytes([HANDSHAKE]):
        said = ["ServerHello"]
    elif came[:1] == bytes([ALERT]) and len(came) >= 7:
        said = ["alert " + ALERTS.get(came[6], str(came[6]))]
    elif came.startswith(b"HTTP/1.1 "):
        said = [came[9:12].decode()]
    else:
        said = [f"{len(came)} bytes"] if came else []
    return ", ".join(said + ["closed" if ended else "waits"])
