"""The proxies that are compared, each with the configuration that makes them do the same work.

All listen on one loopback port, run one worker or one thread, keep connections open on both sides
and stand in front of the same origin. Those that add headers add `x-bench: 1` to the request and
`x-bench: 1` to the response.
"""

import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from measure import process_tree

ROOT = Path(__file__).resolve().parent.parent
BODY = "tidegate" * 128  # 1 KiB
API_KEY = "bench-key"
REQUEST_HEADERS = {"x-api-key": API_KEY}


@dataclass
class Site:
    """Where a contender runs: its folder, and the ports that it uses."""

    folder: Path
    port: int
    admin_port: int
    origin_port: int
    access_log: bool


@dataclass
class Contender:
    """A proxy with one configuration.

    `command` writes the configuration into the site's folder and gives the command line.
    """

    name: str
    program: str
    package: str
    command: Callable[[Site], list[str]]
    adds_headers: bool

    def missing(self) -> str | None:
        """What keeps it from running here, with what to do about it."""
        if shutil.which(self.program) is None:
            return f"{self.program} not found: {self.package}"
        return None


def contenders(tidegate: str) -> list[Contender]:
    """All of them. The first that is present is what the others are compared with."""
    ours = (tidegate, "run `make bench`, or name another binary with --tidegate")
    return [
        Contender("nginx", "nginx", "Debian package nginx-light", nginx(False), False),
        Contender("nginx +headers", "nginx", "Debian package nginx-light", nginx(True), True),
        Contender("haproxy", "haproxy", "Debian package haproxy", haproxy, False),
        Contender("pingora", floor(tidegate), ours[1], plain_pingora(tidegate), False),
        Contender("tidegate 0", *ours, tidegate_with(tidegate, []), False),
        Contender("tidegate 1", *ours, tidegate_with(tidegate, FIVE_PLUGINS[:1]), True),
        Contender("tidegate 5", *ours, tidegate_with(tidegate, FIVE_PLUGINS), True),
    ]


def floor(tidegate: str) -> str:
    """A Pingora proxy that only forwards, built beside the binary."""
    return str(Path(tidegate).parent / "examples" / "plain_pingora")


def plain_pingora(tidegate: str) -> Callable[[Site], list[str]]:
    def command(site: Site) -> list[str]:
        return [floor(tidegate), f"127.0.0.1:{site.port}", f"127.0.0.1:{site.origin_port}"]

    return command


@contextmanager
def running(name: str, argv: list[str], port: int, folder: Path):
    """Start a server, wait until it listens, give its process, and stop it afterwards."""
    output = folder / "output.log"
    with output.open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until_listening(name, process, port, output)
        yield process
    finally:
        stop(process)


def check(contender: Contender, port: int) -> None:
    """Ask for one of each, so that no figure comes from a proxy that does less than the others."""
    status, headers, body = get(port, "/")
    if status != 200 or body != BODY:
        raise RuntimeError(f"answered {status} with {len(body)} bytes instead of the origin's body")
    if contender.adds_headers and headers.get("x-bench") != "1":
        raise RuntimeError("did not add x-bench to the response")
    seen = get(port, "/seen")[2]
    if seen != ("1" if contender.adds_headers else ""):
        raise RuntimeError(f"the origin saw x-bench: {seen!r}")


def origin(folder: Path, port: int) -> list[str]:
    """nginx that answers `/` with 1 KiB and `/seen` with the `x-bench` that reached it."""
    server = f"""
        location = / {{ return 200 "{BODY}"; }}
        location = /seen {{ return 200 "$http_x_bench"; }}"""
    return nginx_command(folder, port, server, "", access_log=False)


def nginx(adds_headers: bool) -> Callable[[Site], list[str]]:
    def command(site: Site) -> list[str]:
        edits = "proxy_set_header x-bench 1; add_header x-bench 1;" if adds_headers else ""
        server = f"""
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header connection "";
            {edits}
        }}"""
        upstream = f"""
    upstream origin {{
        server 127.0.0.1:{site.origin_port};
        keepalive 256;
        keepalive_requests 1000000000;
    }}"""
        return nginx_command(site.folder, site.port, server, upstream, site.access_log)

    return command


def nginx_command(
    folder: Path, port: int, server: str, upstream: str, access_log: bool
) -> list[str]:
    # nginx started by root would give its worker to a user that may not enter our folder.
    user = "user root;" if os.geteuid() == 0 else ""
    log = f"{folder}/access.log" if access_log else "off"
    temporary = "\n    ".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(f"""
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log {log};
    {temporary}
    keepalive_requests 1000000000;{upstream}
    server {{
        listen 127.0.0.1:{port};{server}
    }}
}}
""")
    return ["nginx", "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(config)]


def haproxy(site: Site) -> list[str]:
    log = "log stdout format raw daemon\n    option httplog" if site.access_log else "no log"
    config = site.folder / "haproxy.cfg"
    config.write_text(f"""
global
    nbthread 1
defaults
    mode http
    {log}
    timeout connect 1s
    timeout client 60s
    timeout server 60s
frontend web
    bind 127.0.0.1:{site.port}
    default_backend origin
backend origin
    http-reuse always
    server one 127.0.0.1:{site.origin_port}
""")
    return ["haproxy", "-db", "-f", str(config)]


# In the order of the chain. The first is the one of `tidegate 1`.
FIVE_PLUGINS = [
    """
use = "headers"
[route.plugins.config]
request = [{ set = "x-bench", value = "1" }]
response = [{ set = "x-bench", value = "1" }]
""",
    """
use = "headers"
[route.plugins.config]
request = [{ set = "x-route", value = "${route}" }]
response = [{ remove = "server" }]
""",
    """
use = "ip-access"
config = { allow = ["127.0.0.0/8"] }
""",
    """
use = "rate-limit"
config = { rate = "1000000/s" }
""",
    f"""
use = "api-key"
[[route.plugins.config.keys]]
id = "bench"
hash = "sha256:{hashlib.sha256(API_KEY.encode()).hexdigest()}"
""",
]


def tidegate_with(program: str, plugins: list[str]) -> Callable[[Site], list[str]]:
    def command(site: Site) -> list[str]:
        chain = "".join(f"\n[[route.plugins]]{plugin}" for plugin in plugins)
        # Only those that are used: others in the folder would be compiled while we measure.
        folder = site.folder / "plugins"
        folder.mkdir()
        for name in set(re.findall(r'use = "([^"]+)"', chain)):
            shutil.copy(ROOT / "config" / "plugins" / f"{name}.wasm", folder)
        config = site.folder / "tidegate.toml"
        config.write_text(f"""
[server]
threads = 1

[log]
level = "warn"
access = {str(site.access_log).lower()}

[admin]
address = "127.0.0.1:{site.admin_port}"

[plugins]
directory = "{folder}"
allow = ["attributes", "log", "metrics", "clock", "limiter"]
cache = "{site.folder}/cache"

[[listener]]
name = "bench"
address = "127.0.0.1:{site.port}"

[upstream.origin]
peers = ["127.0.0.1:{site.origin_port}"]

[[route]]
name = "bench"
upstream = "origin"
{chain}""")
        return [program, "run", "--config", str(config)]

    return command


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. All are held until all are known, so none comes twice."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def get(port: int, path: str) -> tuple[int, dict[str, str], str]:
    """Status, header fields (names in lower case) and body of one GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers=REQUEST_HEADERS)
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, fields, answer.read().decode()
    finally:
        connection.close()


def wait_until_listening(
    name: str, process: subprocess.Popen, port: int, output: Path, seconds: int = 30
) -> None:
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            time.sleep(0.05)
    why = "still runs" if process.poll() is None else f"ended with {process.returncode}"
    last = output.read_text(errors="replace")[-800:]
    raise RuntimeError(f"{name} does not listen after {seconds} s and {why}; it said:\n{last}")


def stop(process: subprocess.Popen) -> None:
    """End the server and what it started: first by request, after ten seconds by force."""
    if process.poll() is not None:
        return
    tree = process_tree(process.pid)
    process.terminate()
    try:
        process.wait(10)
        return
    except subprocess.TimeoutExpired:
        pass
    for pid in tree:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(10)
