"""Tidegate, without plugins and with them."""

import hashlib
import re
import shutil
from functools import partial
from pathlib import Path

from .base import IN_FLIGHT, ROOT, Command, Job, Peer, Site

BUNDLED = ("headers", "ip-access", "rate-limit", "api-key")
API_KEY = "bench-key"

HEADERS = """
use = "headers"
[route.plugins.config]
request = [{ set = "x-bench", value = "1" }]
response = [{ set = "x-bench", value = "1" }]
"""
# In the order of the chain.
FIVE = [
    HEADERS,
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
TOKEN = 'use = "token"'
# With a configuration of its own, so that no two routes share an instance.
TOKEN_OF_ROUTE = 'use = "token"\nconfig = { path = "PATH*" }'
ASIDE = 'use = "token"\nconfig = { path = "/another/*" }'
FRESH = 'use = "fresh"'
ONCE = "[plugin.fresh]\nreuse = false\n"
PASS = 'use = "pass"'
UPPER = 'use = "upper"'


def peers(program: Path, wasm: dict[str, Path]) -> list[Peer]:
    """With `wasm`, the plugins that were built for the bench, by name."""
    bundled = {name: ROOT / "config" / "plugins" / f"{name}.wasm" for name in BUNDLED}
    files = bundled | wasm
    start = partial(command, str(program), files)
    jobs = {
        Job.FORWARD: partial(start, []),
        Job.TLS: partial(start, [], tls=True),
        Job.WEBSOCKET: partial(start, []),
        Job.ROUTES: partial(start, []),
        Job.ROUTES_FILTER: partial(start, [TOKEN_OF_ROUTE]),
        Job.LOG: partial(start, [], log=True),
        Job.FILTER: partial(start, [TOKEN]),
        Job.HEADERS: partial(start, [HEADERS]),
        Job.PASS: partial(start, [PASS]),
        Job.UPPER: partial(start, [UPPER]),
        Job.FIVE: partial(start, FIVE),
        Job.FRESH: partial(start, [FRESH], sections=ONCE),
        Job.ASIDE: partial(start, [ASIDE]),
        Job.BOUNDED: partial(start, [], bound=f"requests = {IN_FLIGHT}\n"),
    }
    jobs[Job.HUNDRED] = partial(hundred, str(program), wasm["token"])
    source = "run `make bench`, or name another binary with --tidegate"
    needs = tuple(files.values())
    return [Peer("tidegate", str(program), source, jobs, caches=True, needs=needs)]


def hundred(program: str, token: Path, site: Site) -> Command:
    """A route for each of 100 plugins, which are different files that do the same."""
    files = {}
    for number in range(100):
        files[f"token-{number}"] = site.folder / f"token-{number}.wasm"
        files[f"token-{number}"].write_bytes(another(token.read_bytes(), str(number)))
    started = command(program, files, [], site)
    config = site.folder / "tidegate.toml"
    with config.open("a") as file:
        for number, name in enumerate(files):
            shutil.copy(files[name], site.folder / "plugins")
            path = f'match = {{ path = "/another/{number}" }}'
            file.write(f'\n[[route]]\nupstream = "origin"\n{path}\nplugins = ["{name}"]\n')
    return started


def another(component: bytes, mark: str) -> bytes:
    """Another component that does the same: with a custom section at its end."""
    content = bytes([len(b"bench")]) + b"bench" + mark.encode()
    return component + bytes([0, len(content)]) + content


def route(path: str, plugins: str) -> str:
    """For all paths that begin so."""
    match = f'match = {{ path = "{path}*" }}\n' if path else ""
    return f'\n[[route]]\nupstream = "origin"\n{match}{plugins.replace("PATH", path)}'


def command(
    program: str,
    files: dict[str, Path],
    chain: list[str],
    site: Site,
    *,
    tls: bool = False,
    log: bool = False,
    bound: str = "",
    sections: str = "",
) -> Command:
    plugins = "".join(f"\n[[route.plugins]]\n{plugin}\n" for plugin in chain)
    # Only those that are used: others in the folder would be compiled while we measure.
    folder = site.folder / "plugins"
    folder.mkdir()
    for name in set(re.findall(r'use = "([^"]+)"', plugins)):
        shutil.copy(files[name], folder / f"{name}.wasm")
    pair = f'cert = "{site.shared}/cert.pem", key = "{site.shared}/key.pem"'
    secure = f"\n[listener.tls]\ncertificates = [{{ {pair} }}]\n" if tls else ""
    routes = "".join(route(path, plugins) for path in site.route_paths()) or route("", plugins)
    config = site.write(
        "tidegate.toml",
        f"""
[server]
threads = {site.workers}

[limits]
connections = 16000
connections_per_address = 16000
requests_per_connection = 1000000000
idle_timeout = "10m"

[log]
level = "warn"
access = {str(log).lower()}

[admin]
address = "127.0.0.1:{site.admin_port}"

[plugins]
directory = "{folder}"
allow = ["attributes", "log", "metrics", "clock", "limiter"]
cache = "{site.cache}"

{sections}
[upstream.origin]
peers = ["127.0.0.1:{site.upstream_port}"]
keepalive = {site.kept}
{bound}
[[listener]]
name = "bench"
address = "127.0.0.1:{site.port}"
{secure}{routes}""",
    )
    return Command([program, "run", "--config", config])
