"""HTTP/2 frames by hand, for what no library would send (RFC 9113, RFC 7541)."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
ERRORS = [
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
]  # fmt: skip


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value, prefix, first=0):
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def literal(name, value):
    """A field that is not put into the table."""
    name, value = (text if isinstance(text, bytes) else text.encode() for text in (name, value))
    return b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value


def indexed(name, value):
    """A field that is put into the table."""
    return b"\x40" + literal(name, value)[1:]


def block(fields):
    return b"".join(literal(name, value) for name, value in fields)


def request(path="/", method="GET", authority="a", scheme="http"):
    return [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]


def setting(*pairs):
    return b"".join(struct.pack(">HI", key, value) for key, value in pairs)


# No table in the answers, so that a status is always spelled out.
START = PREFACE + frame(SETTINGS, 0, 0, setting((1, 0)))


def status(payload):
    """The status of a response's field block, whose first field it is."""
    while payload and payload[0] & 0xE0 == 0x20:  # the size of a table
        payload = payload[1:]
    known = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
    if payload[0] in known:
        return known[payload[0]]
    length = payload[1] & 0x7F
    text = payload[2 : 2 + length]
    if not payload[1] & 0x80:
        return int(text)
    bits, digits = "".join(f"{byte:08b}" for byte in text), ""
    while len(digits) < 3:
        width = 5 if bits[:5] in ("00000", "00001", "00010") else 6
        code, bits = int(bits[:width], 2), bits[width:]
        digits += str(code if width == 5 else code - 0x16)
    return int(digits)


def frames(client):
    """What comes, frame by frame, until the connection ends or is quiet; then None or "quiet"."""
    came = b""
    while True:
        while len(came) < 9 or len(came) < 9 + int.from_bytes(came[:3], "big"):
            try:
                more = client.recv(65536)
            except (TimeoutError, socket.timeout):
                yield "quiet"
                return
            except OSError:
                return
            if not more:
                return
            came += more
        length = int.from_bytes(came[:3], "big")
        yield came[3], came[4], int.from_bytes(came[5:9], "big"), came[9 : 9 + length]
        came = came[9 + length :]


def outcome(client, stream=None):
    """What becomes of a stream: its status, the code that resets it, or how the connection ends."""
    for came in frames(client):
        if came == "quiet":
            return "waits"
        kind, _, at, payload = came
        if kind == HEADERS and (stream is None or at == stream):
            return str(status(payload))
        if kind == RST_STREAM and (stream is None or at == stream):
            return "RST " + ERRORS[int.from_bytes(payload[:4], "big")]
        if kind == GOAWAY and payload[4:8] != bytes(4):
            return "GOAWAY " + ERRORS[int.from_bytes(payload[4:8], "big")]
    return "closed"


def send(client, *parts):
    """False where the other side has closed before all of it was taken."""
    try:
        client.sendall(b"".join(parts))
        return True
    except OSError:
        return False
