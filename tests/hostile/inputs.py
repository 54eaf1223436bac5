"""The inputs of peers.py: each a row of the table."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import h2
from h2 import (
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PUSH, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, indexed, literal, request, setting,
)  # fmt: skip


@dataclass
class Row:
    group: str
    name: str
    pieces: list = field(default_factory=list)
    show: Callable | None = None
    pause: float = 0
    h2: Callable | None = None
    # Is given a connection to the port for TLS.
    tls: Callable | None = None
    # Is given a peer whose deadlines are long.
    flood: Callable | None = None


def target(head, _):
    return "`" + head.split(b" ")[1].decode("latin-1") + "`"


def named(name):
    pattern = re.compile(rb"(?im)^(" + name.encode() + rb":.*)$")

    def show(head, _):
        return ", ".join(f"`{line.strip().decode('latin-1')}`" for line in pattern.findall(head)) or f"no `{name}`"

    return show


def framing(head, body):
    lines = re.findall(rb"(?im)^((?:content-length|transfer-encoding):.*?)\r?$", head)
    return "`" + "; ".join(line.decode("latin-1").lower() for line in lines) + "`"


def head(*fields, line="GET / HTTP/1.1", host="host: a"):
    lines = [line] + ([host] if host else []) + list(fields)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def post(*fields, body=b""):
    return head(*fields, line="POST / HTTP/1.1") + body


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"


def framing_rows():
    group = "Framing"
    chunked = "transfer-encoding: chunked"
    inner = b"0\r\n\r\n" + SMUGGLED

    def row(name, *pieces):
        return Row(group, name, list(pieces), framing)

    yield row("`content-length` and `transfer-encoding: chunked` (CL.TE)", post(f"content-length: {len(inner)}", chunked, body=inner))
    yield row("the same, the length shorter (TE.CL)", post("content-length: 4", chunked, body=f"{len(SMUGGLED):x}".encode() + b"\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"))
    for coding in ["xchunked", "chunked, identity", "identity", "identity, chunked", "gzip, chunked", "chunked, chunked", ", chunked", "chunked,", "\"chunked\"", "chunked;q=1", ""]:
        yield row(f"`transfer-encoding: {coding}`", post(f"transfer-encoding: {coding}", body=b"0\r\n\r\n"))
    yield row("`transfer-encoding:<VT>chunked`", post("transfer-encoding: \x0bchunked", body=b"0\r\n\r\n"))
    yield row("`transfer-encoding:<TAB>chunked`", post("transfer-encoding:\tchunked", body=b"0\r\n\r\n"))
    yield row("`Transfer-Encoding: CHUNKED`", post("Transfer-Encoding: CHUNKED", body=b"0\r\n\r\n"))
    yield row("`transfer-encoding : chunked`", post("transfer-encoding : chunked", body=b"0\r\n\r\n"))
    yield row("`transfer-encoding` twice, both `chunked`", post(chunked, chunked, body=b"0\r\n\r\n"))
    yield row("`transfer-encoding` twice, `chunked` and `identity`", post(chunked, "transfer-encoding: identity", body=b"0\r\n\r\n"))
    yield row("folded: `transfer-encoding:` CRLF SP `chunked`", post("transfer-encoding:\r\n chunked", body=b"0\r\n\r\n"))
    yield row("`transfer-encoding: chunked` in HTTP/1.0", head(chunked, line="POST / HTTP/1.0") + b"0\r\n\r\n")
    yield row("`transfer_encoding: chunked`", post("transfer_encoding: chunked", "content-length: 0"))
    for length in ["+5", "-5", "0x5", "5 5", "5, 5", "5, 6", "5,", "05", "5.0", "99999999999999999999", ""]:
        yield row(f"`content-length: {length}`", post(f"content-length: {length}", body=b"hello"))
    yield row("`content-length` twice, equal", post("content-length: 5", "content-length: 5", body=b"hello"))
    yield row("`content-length` twice, different", post("content-length: 5", "content-length: 6", body=b"hello!"))
    yield row("a body on `GET`", head(f"content-length: {len(SMUGGLED)}") + SMUGGLED)
    yield Row(group, "`expect: garbage`", [post("expect: garbage", "content-length: 5", body=b"hello")], named("expect"))


def chunk_rows():
    group = "Chunks"

    def row(name, *pieces, **more):
        return Row(group, name, [post("transfer-encoding: chunked"), *pieces], framing, **more)

    yield row("size `xyz`", b"xyz\r\nhello\r\n0\r\n\r\n")
    yield row("size `0x5`", b"0x5\r\nhello\r\n0\r\n\r\n")
    yield row("size `+5`", b"+5\r\nhello\r\n0\r\n\r\n")
    yield row("size `5 ` (space after)", b"5 \r\nhello\r\n0\r\n\r\n")
    yield row("size ` 5` (space before)", b" 5\r\nhello\r\n0\r\n\r\n")
    yield row("size `5 5`", b"5 5\r\nhello\r\n0\r\n\r\n")
    yield row("size `0000000000000005`", b"0000000000000005\r\nhello\r\n0\r\n\r\n")
    yield row("size of 17 hex digits", b"fffffffffffffffff\r\nhello")
    yield row("size `ffffffffffffffff`", b"ffffffffffffffff\r\nhello")
    yield row("no size", b"\r\nhello\r\n0\r\n\r\n")
    yield row("an extension", b"5;a=b\r\nhello\r\n0\r\n\r\n")
    yield row("an extension of 1 MiB", b"5;" + b"a" * (1 << 20) + b"\r\nhello\r\n0\r\n\r\n")
    yield row("a line feed within an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n")
    yield row("size line that ends with LF", b"5\nhello\r\n0\r\n\r\n")
    yield row("size line with CR alone", b"5\rhello\r\n0\r\n\r\n")
    yield row("data not followed by CRLF", b"5\r\nhelloXX0\r\n\r\n")
    yield row("data followed by LF", b"5\r\nhello\n0\r\n\r\n")
    yield row("last chunk ends with LF LF", b"5\r\nhello\r\n0\n\n")
    yield row("trailers that end with LF LF", b"5\r\nhello\r\n0\r\nx: y\n\n")
    yield row("trailers of 1 MiB", b"0\r\n" + b"x: y\r\n" * 170_000 + b"\r\n")
    yield row("an invalid trailer", b"0\r\n\x01\x02\r\n\r\n")


def line_rows():
    group = "Lines and fields"

    def row(name, bytes_, show=target):
        return Row(group, name, [bytes_], show)

    yield row("lines that end with LF", b"GET / HTTP/1.1\nhost: a\n\n")
    yield row("one field line that ends with LF", b"GET / HTTP/1.1\r\nhost: a\nx: b\r\n\r\n", named("x"))
    yield row("CR in a value", head("x: a\rb"), named("x"))
    yield row("NUL in a value", head("x: a\0b"), named("x"))
    yield row("0x01 in a value", head("x: a\x01b"), named("x"))
    yield row("0x7f in a value", head("x: a\x7fb"), named("x"))
    yield row("a folded value", head("x: a\r\n b"), named("x"))
    yield row("a folded first field", b"GET / HTTP/1.1\r\n x: a\r\nhost: a\r\n\r\n")
    yield row("space before the colon", head("x : a"), named("x"))
    yield row("an empty name", head(": a"))
    yield row("no colon", head("x"))
    yield row("NUL in a name", head("x\0y: a"))
    yield row("`(` in a name", head("x(y: a"))
    yield row("a method with `@`", head(line="G@T / HTTP/1.1"))
    yield row("a lower-case method", head(line="get / HTTP/1.1"))
    yield row("two spaces in the request line", head(line="GET  / HTTP/1.1"))
    yield row("a tab in the request line", head(line="GET\t/ HTTP/1.1"))
    yield row("space in the target", head(line="GET /a b HTTP/1.1"))
    yield row("`HTTP/1.2`", head(line="GET / HTTP/1.2"))
    yield row("`HTTP/2.0`", head(line="GET / HTTP/2.0"))
    yield row("HTTP/0.9", b"GET /\r\n")
    yield row("`http/1.1`", head(line="GET / http/1.1"))
    yield row("an empty line before", b"\r\n" + head())
    yield row("1,000 empty lines before", b"\r\n" * 1000 + head())
    yield row("a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")


def host_rows():
    group = "Host and target"

    def row(name, bytes_):
        return Row(group, name, [bytes_], lambda h, b: target(h, b) + " " + named("host")(h, b))

    yield row("no `host`", head(host=""))
    yield row("no `host` in HTTP/1.0", head(line="GET / HTTP/1.0", host=""))
    yield row("an empty `host`", head(host="host:"))
    yield row("two `host`, different", head("host: b"))
    yield row("two `host`, equal", head("host: a"))
    for host in ["a, b", "user@a", "a b", "a/b", "a?b", "a:port", "a:99999", "[::1", "a..b", "a\xe9"]:
        shown = host.encode("ascii", "backslashreplace").decode()
        yield row(f"`host: {shown}`", head(host=f"host: {host}"))
    yield row("`GET http://b/` with `host: a`", head(line="GET http://b/ HTTP/1.1"))
    yield row("`GET http://a/` with `host: a`", head(line="GET http://a/ HTTP/1.1"))
    yield row("`GET http://user@a/`", head(line="GET http://user@a/ HTTP/1.1"))
    yield row("`GET ftp://a/`", head(line="GET ftp://a/ HTTP/1.1"))
    yield row("`GET *`", head(line="GET * HTTP/1.1"))
    yield row("`OPTIONS *`", head(line="OPTIONS * HTTP/1.1"))
    yield row("`CONNECT a:443`", head(line="CONNECT a:443 HTTP/1.1"))
    yield row("`GET a:443`", head(line="GET a:443 HTTP/1.1"))
    yield row("`GET x`", head(line="GET x HTTP/1.1"))


def path_rows():
    for path in [
        "/a/../b", "/../b", "/a/%2e%2e/b", "/a/%2E%2e/b", "/a/.%2e/b", "/a/%252e%252e/b", "/a//b", "//a", "/a/./b", "/a\\..\\b", "/a%5c..%5cb", "/a%2fb",
        "/a%00b", "/%c0%ae%c0%ae/b", "/a;x=/../b", "/a;/b", "/a%", "/a%zz", "/a#b", "/a%23b", "/a\x01b", "/a\xff", "/a?b?c", "/a|b", "/a\"b", "/{a}",
    ]:  # fmt: skip
        shown = path.encode("ascii", "backslashreplace").decode()
        # A second slash belongs to the path here, not to an authority.
        yield Row("Paths", f"`{shown}`", [head(line=f"GET {path} HTTP/1.1")], target)


def size_rows():
    group = "Sizes"
    yield Row(group, "90 fields", [head(*["x: y"] * 90)])
    yield Row(group, "200 fields", [head(*["x: y"] * 200)])
    yield Row(group, "10,000 fields", [head(*["x: y"] * 10_000)])
    yield Row(group, "a field of 20 KiB", [head("x: " + "y" * 20_000)])
    yield Row(group, "a field of 40 KiB", [head("x: " + "y" * 40_000)])
    yield Row(group, "a field of 1 MiB", [head("x: " + "y" * (1 << 20))])
    yield Row(group, "a field name of 40 KiB", [head("x" * 40_000 + ": y")])
    yield Row(group, "a target of 6 KiB", [head(line="GET /" + "x" * 6_000 + " HTTP/1.1")])
    yield Row(group, "a target of 40 KiB", [head(line="GET /" + "x" * 40_000 + " HTTP/1.1")])
    yield Row(group, "a method of 40 KiB", [head(line="X" * 40_000 + " / HTTP/1.1")])
    yield Row(group, "100 requests at once", [head() * 100])


def slow_rows():
    group = "Slow clients (deadlines of 1 s)"
    yield Row(group, "says nothing", [])
    yield Row(group, "half a head", [head()[:-4]])
    yield Row(group, "a head, byte by byte", [bytes([byte]) for byte in head("x: " + "y" * 60)], pause=0.05)
    yield Row(group, "half a body", [post("content-length: 10", body=b"half")])
    yield Row(group, "half a chunk", [post("transfer-encoding: chunked", body=b"a\r\nhalf")])
    yield Row(group, "trailers that do not end", [post("transfer-encoding: chunked", body=b"0\r\nx: y\r\n")])


def h2_row(group, name, *parts, stream=1, show=None):
    def run(client):
        h2.send(client, h2.START, *parts)
        return h2.outcome(client, stream)

    return Row(group, name, h2=run, show=show)


def headers(fields, stream=1, flags=END_HEADERS | END_STREAM):
    return frame(HEADERS, flags, stream, block(fields))


def h2_request_rows():
    group = "HTTP/2: requests"

    def row(name, fields, *more, flags=END_HEADERS | END_STREAM, show=target):
        return h2_row(group, name, headers(fields, flags=flags), *more, show=show)

    yield row("a good request", request())
    for name, value in [
        ("transfer-encoding", "chunked"), ("connection", "close"), ("keep-alive", "1"), ("upgrade", "h2c"), ("te", "gzip"),
        ("X-Upper", "a"), ("", "a"), ("x y", "a"), ("x:y", "a"), ("x\r\ny", "a"), ("x", "a\r\nb: c"), ("x", "a\nb"), ("x", "a\0b"), ("x", " a"),
        ("host", "b"), ("content-length", "5"), ("content-length", "+0"), (":x", "a"), (":path", "/again"), (":status", "200"),
    ]:  # fmt: skip
        shown = f"{name}: {value}".encode("unicode_escape").decode()
        show = named(re.sub(r"\W.*", "", name) or "x")
        yield row(f"`{shown}`", request() + [(name, value)], show=show)
    yield row("`content-length: 5`, 3 bytes of DATA", request(method="POST") + [("content-length", "5")], frame(DATA, END_STREAM, 1, b"abc"), flags=END_HEADERS, show=framing)
    yield row("`content-length: 3`, 5 bytes of DATA", request(method="POST") + [("content-length", "3")], frame(DATA, END_STREAM, 1, b"abcde"), flags=END_HEADERS, show=framing)
    yield row("`content-length` twice, different", request(method="POST") + [("content-length", "3"), ("content-length", "5")], frame(DATA, END_STREAM, 1, b"abc"), flags=END_HEADERS, show=framing)
    yield row("a pseudo-field after a field", [("x", "a")] + request())
    for missing in range(4):
        fields = request()
        name = fields.pop(missing)[0]
        yield row(f"no `{name}`", fields, show=lambda h, b: target(h, b) + " " + named("host")(h, b))
    yield row("empty `:path`", request(path=""))
    for path in ["a", "*", "/a b", "/a\r\nx: y", "/ HTTP/1.1\r\nhost: b\r\n\r\nGET /s", "/a\0b", "http://b/", "//b/", "/a#b"]:
        yield row(f"`:path` `{path.encode('unicode_escape').decode()}`", request(path=path))
    for method in ["G T", "GET / HTTP/1.1\r\nx: y\r\n\r\nGET", "", "CONNECT"]:
        yield row(f"`:method` `{method.encode('unicode_escape').decode()}`", request(method=method))
    for authority in ["a b", "a\r\nx: y", "user@a", "a/b", ""]:
        yield row(f"`:authority` `{authority.encode('unicode_escape').decode()}`", request(authority=authority), show=named("host"))
    for scheme in ["ftp", "http://b/?", "http\r\nx: y"]:
        yield row(f"`:scheme` `{scheme.encode('unicode_escape').decode()}`", request(scheme=scheme))
    yield row("pseudo-fields in trailers", request(method="POST"), frame(DATA, 0, 1, b"abc"), frame(HEADERS, END_HEADERS | END_STREAM, 1, block([(":path", "/b")])), flags=END_HEADERS)
    yield row("trailers without END_STREAM", request(method="POST"), frame(DATA, 0, 1, b"abc"), frame(HEADERS, END_HEADERS, 1, block([("x", "b")])), flags=END_HEADERS)


def h2_frame_rows():
    group = "HTTP/2: frames"
    good = headers(request(), stream=1)

    def row(name, *parts, stream=1):
        return h2_row(group, name, *parts, stream=stream)

    def raw(name, bytes_):
        def run(client):
            h2.send(client, bytes_)
            return h2.outcome(client)

        return Row(group, name, h2=run)

    yield raw("half a preface", h2.PREFACE[:18])
    yield raw("a preface and HTTP/1.1", h2.PREFACE + head())
    yield raw("a preface, not SETTINGS first", h2.PREFACE + headers(request()))
    yield row("HEADERS on stream 0", headers(request(), stream=0))
    yield row("HEADERS on stream 2", headers(request(), stream=2), stream=2)
    yield row("a stream number that goes down", headers(request(), stream=5), headers(request(), stream=3), stream=3)
    yield row("DATA on stream 0", frame(DATA, 0, 0, b"x"))
    yield row("DATA on an idle stream", frame(DATA, 0, 1, b"x"))
    yield row("DATA after END_STREAM", good, frame(DATA, END_STREAM, 1, b"x"), stream=3)
    yield row("a frame of 1 MiB", frame(DATA, 0, 1, bytes(1 << 20)))
    yield row("CONTINUATION without HEADERS", frame(CONTINUATION, END_HEADERS, 1, block(request())))
    yield row("another frame between HEADERS and CONTINUATION", frame(HEADERS, END_STREAM, 1, block(request())), frame(PING, 0, 0, bytes(8)))
    yield row("PUSH_PROMISE from a client", frame(PUSH, END_HEADERS, 1, bytes(4) + block(request())))
    yield row("RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, bytes(4)))
    yield row("RST_STREAM of 3 bytes", good, frame(RST_STREAM, 0, 1, bytes(3)), stream=3)
    yield row("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, bytes(5)))
    yield row("SETTINGS on stream 1", frame(SETTINGS, 0, 1, setting((4, 10))))
    yield row("SETTINGS with ACK and a payload", frame(SETTINGS, 1, 0, setting((4, 10))))
    yield row("INITIAL_WINDOW_SIZE 2^31", frame(SETTINGS, 0, 0, setting((4, 1 << 31))))
    yield row("MAX_FRAME_SIZE 1", frame(SETTINGS, 0, 0, setting((5, 1))))
    yield row("ENABLE_PUSH 2", frame(SETTINGS, 0, 0, setting((2, 2))))
    yield row("PING of 7 bytes", frame(PING, 0, 0, bytes(7)))
    yield row("WINDOW_UPDATE of 0", frame(WINDOW_UPDATE, 0, 0, bytes(4)))
    yield row("WINDOW_UPDATE over 2^31-1 on the connection", frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"))
    yield row("WINDOW_UPDATE over 2^31-1 on a stream", headers(request(method="POST"), flags=END_HEADERS), frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"))
    yield row("padding longer than the frame", headers(request(method="POST"), flags=END_HEADERS), frame(DATA, PADDED, 1, b"\xffabc"))
    yield row("a stream that depends on itself", frame(HEADERS, END_HEADERS | END_STREAM | 0x20, 1, b"\0\0\0\x01\x10" + block(request())))
    yield row("an unknown frame type", frame(0xF0, 0, 0, b"x"), good)
    yield row("HPACK: an index that is not there", frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\x80\x01"))
    yield row("HPACK: a table size above the limit", frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe1\xff\x03" + block(request())))
    yield row("HPACK: an integer without an end", frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" + b"\x80" * 100))
    yield row("HPACK: a string longer than the block", frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\0\x7fabc"))
    yield row("HPACK: Huffman padding of zeros", frame(HEADERS, END_HEADERS | END_STREAM, 1, block(request()) + b"\0\x01x\x81\0"))


def h2_flood_rows():
    group = "HTTP/2: floods"
    many = 20_000

    def flood(name, make, first=b"", count=many):
        def run(client):
            client.settimeout(5)
            sent = h2.send(client, h2.START, first)
            for start in range(0, count, 500):
                if not sent:
                    break
                sent = h2.send(client, *(make(n) for n in range(start, start + 500)))
            # Whoever still answers serves on.
            h2.send(client, headers(request(), stream=2_000_001))
            answer = h2.outcome(client, 2_000_001)
            return "serves on" if answer == "200" else answer

        return Row(group, name, h2=run)

    yield flood("20,000 SETTINGS", lambda _: frame(SETTINGS, 0, 0, setting((4, 65535))))
    yield flood("20,000 empty SETTINGS", lambda _: frame(SETTINGS, 0, 0))
    yield flood("20,000 PING", lambda _: frame(PING, 0, 0, bytes(8)))
    yield flood("20,000 PRIORITY", lambda n: frame(PRIORITY, 0, 2 * n + 1, b"\0\0\0\0\x10"))
    yield flood("20,000 WINDOW_UPDATE of 1", lambda _: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"))
    yield flood("20,000 frames of an unknown type", lambda _: frame(0xF0, 0, 0))
    yield flood("20,000 empty DATA", lambda _: frame(DATA, 0, 1), headers(request(method="POST"), flags=END_HEADERS))
    yield flood("20,000 DATA of 1 byte with 255 of padding", lambda _: frame(DATA, PADDED, 1, b"\xffx" + bytes(255)), headers(request(method="POST"), flags=END_HEADERS))
    yield flood("20,000 requests that are reset at once (CVE-2023-44487)", lambda n: headers(request(), stream=2 * n + 1) + frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08"))
    yield flood("20,000 requests, each ended by WINDOW_UPDATE of 0 (CVE-2025-8671)", lambda n: headers(request(), stream=2 * n + 1) + frame(WINDOW_UPDATE, 0, 2 * n + 1, bytes(4)))
    yield flood("20,000 requests, each ended by DATA after END_STREAM", lambda n: headers(request(), stream=2 * n + 1) + frame(DATA, 0, 2 * n + 1, b"x"))
    yield flood("20,000 malformed requests", lambda n: headers(request() + [("connection", "close")], stream=2 * n + 1))
    yield flood("20,000 requests whose body does not come", lambda n: headers(request(method="POST"), stream=2 * n + 1, flags=END_HEADERS))
    yield flood("20,000 CONTINUATION of 1 byte", lambda _: frame(CONTINUATION, 0, 1, b"\0"), frame(HEADERS, END_STREAM, 1, block(request())))
    yield flood("CONTINUATION without end, 16 KiB each", lambda _: frame(CONTINUATION, 0, 1, literal("x", b"y" * 16_000)), frame(HEADERS, END_STREAM, 1, block(request())), count=1000)
    bomb = block(request()) + indexed("x", b"y" * 4000) + b"\xbe" * 10_000
    yield h2_row(group, "an HPACK bomb: 10,000 references to a field of 4,000 bytes", frame(HEADERS, END_HEADERS | END_STREAM, 1, bomb))
    yield h2_row(group, "500 fields", frame(HEADERS, END_HEADERS | END_STREAM, 1, block(request() + [("x", "y")] * 500)))
    yield h2_row(group, "a field of 40 KiB", frame(HEADERS, END_STREAM, 1, b"\0\x01x" + h2.integer(40_000, 7) + b"y" * 16_000), frame(CONTINUATION, 0, 1, b"y" * 16_000), frame(CONTINUATION, END_HEADERS, 1, b"y" * 8_000 + block(request())))


def h2_slow_rows():
    group = "HTTP/2: slow clients (deadlines of 1 s)"
    yield h2_row(group, "nothing after SETTINGS")
    yield h2_row(group, "HEADERS without their end", frame(HEADERS, END_STREAM, 1, block(request())))
    yield h2_row(group, "a body that does not come", headers(request(method="POST"), flags=END_HEADERS))

    def never_reads(client):
        h2.send(client, h2.PREFACE, frame(SETTINGS, 0, 0, setting((1, 0), (4, 0))), headers(request(path="/large")))
        for came in h2.frames(client):
            if came == "quiet":
                return "waits"
            kind, _, at, payload = came
            if kind == RST_STREAM and at == 1:
                return "RST " + h2.ERRORS[int.from_bytes(payload[:4], "big")]
            if kind == GOAWAY and payload[4:8] != bytes(4):
                return "GOAWAY " + h2.ERRORS[int.from_bytes(payload[4:8], "big")]
        return "closed"

    yield Row(group, "a window of 0 for ever", h2=never_reads)


def rows():
    for group in [
        framing_rows, chunk_rows, line_rows, host_rows, path_rows, size_rows, slow_rows,
        h2_request_rows, h2_frame_rows, h2_flood_rows, h2_slow_rows,
    ]:  # fmt: skip
        yield from group()
