"""Asks a proxy once for each thing that it should do, so that no figure comes from one that does less."""

import http.client
import socket
import ssl

import clients
import origin
from clients import FIELDS
from peers import Job


def forwards(run) -> None:
    expect(get(run.port, "/")[2] == origin.BODY, "the body is not the origin's")
    seen = get(run.port, "/seen")[2]
    expect(seen == "", f"the origin saw x-bench: {seen!r}")


def edits_headers(run) -> None:
    status, fields, body = get(run.port, "/")
    expect((status, body) == (200, origin.BODY), f"{status} with {len(body)} bytes")
    expect(fields.get("x-bench") == "1", "no x-bench on the response")
    seen = get(run.port, "/seen")[2]
    expect(seen == "1", f"the origin saw x-bench: {seen!r}")


def filters(run) -> None:
    edits_headers(run)
    for fields in ({}, {"x-token": "wrong"}):
        status = get(run.port, "/", fields)[0]
        expect(status in (401, 403), f"{status} without the token")


def five_plugins(run) -> None:
    edits_headers(run)
    status = get(run.port, "/", {})[0]
    expect(status == 401, f"{status} without a key")


def fresh_instances(run) -> None:
    filters(run)
    for _ in range(3):
        seen = get(run.port, "/", {})[2]
        expect(seen == "1", f"an instance saw {seen} exchanges")


def passes_bodies(run) -> None:
    status, fields, body = get(run.port, "/large")
    expect((status, body) == (200, origin.LARGE), f"{status}, not the body")
    # What a filter could change has no length that is known.
    expect("content-length" not in fields, "no filter sees the body")


def writes_upper_case(run) -> None:
    status, _, body = get(run.port, "/large")
    expect((status, body) == (200, origin.LARGE.upper()), f"{status}, not the body in upper case")


def speaks_h2(run) -> None:
    context = ssl.create_default_context(cafile=run.site.shared / "cert.pem")
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", run.port), 5) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            expect(secure.selected_alpn_protocol() == "h2", "no h2 over TLS")
    load = clients.h2load(run.tls_url("/"), 1, 1, 1, run.scratch)
    expect(load.requests > 0 and load.errors == 0, f"{load.requests} good, {load.errors} bad over h2")


def takes_upload(run) -> None:
    forwards(run)
    body = b"x" * origin.UPLOAD_BYTES
    status, _, length = request(run.port, "POST", "/upload", FIELDS, body)
    expect(status == 200, f"{status} to an upload")
    expect(int(length) > origin.UPLOAD_BYTES, f"the origin got {length} bytes in all")


def echoes(run) -> None:
    load = clients.websocket(run.program, run.port, 1, 2)
    expect(load.requests > 0 and load.errors == 0, f"{load.requests} echoes, {load.errors} errors")


def reaches(run) -> None:
    """Any upstream, whatever it answers."""
    status = get(run.port, "/")[0]
    expect(status == 200, f"{status} instead of the upstream's answer")


def routes(run) -> None:
    paths = run.site.route_paths()
    for path in (paths[0], paths[-1]):
        status, _, body = get(run.port, f"{path}x")
        expect((status, body) == (200, origin.BODY), f"{status} to {path}x")
    status = get(run.port, "/nowhere")[0]
    expect(status >= 400, f"{status} where no route leads")


PROBES = {
    Job.FORWARD: forwards,
    Job.FILTER: filters,
    Job.HEADERS: edits_headers,
    Job.PASS: passes_bodies,
    Job.UPPER: writes_upper_case,
    Job.TLS: speaks_h2,
    Job.WEBSOCKET: echoes,
    Job.ROUTES: routes,
    Job.LOG: forwards,
    Job.BOUNDED: forwards,
    Job.FIVE: five_plugins,
    Job.FRESH: fresh_instances,
    Job.ASIDE: forwards,
    Job.ROUTES_FILTER: routes,
    Job.HUNDRED: forwards,
}


def get(port: int, path: str, fields: dict[str, str] = FIELDS) -> tuple[int, dict[str, str], str]:
    return request(port, "GET", path, fields)


def request(
    port: int, method: str, path: str, fields: dict[str, str], body: bytes | None = None
) -> tuple[int, dict[str, str], str]:
    """Status, header fields (names in lower case) and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body, fields)
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, names, answer.read().decode()
    finally:
        connection.close()


def expect(holds: bool, complaint: str) -> None:
    if not holds:
        raise RuntimeError(f"does not do the job: {complaint}")
