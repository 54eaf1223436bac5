"""Proxies on Pingora, beside ours: the library alone, and pingap."""

from functools import partial
from pathlib import Path

from .base import Command, Job, Peer, Site

FILTER = """
proxy_set_headers = ["x-bench:1"]
plugins = ["token", "mark"]
[plugins.token]
category = "key_auth"
header = "x-token"
keys = ["secret"]
[plugins.mark]
category = "response_headers"
set_headers = ["x-bench:1"]
"""


def peers(plain_pingora: Path) -> list[Peer]:
    """With `plain_pingora`, an example that is built beside the proxy and only forwards."""

    def alone(site: Site) -> Command:
        upstream = f"127.0.0.1:{site.upstream_port}"
        return Command([str(plain_pingora), f"127.0.0.1:{site.port}", upstream])

    jobs = {Job.FORWARD: alone, Job.WEBSOCKET: alone}
    return [
        Peer("pingora", str(plain_pingora), "built by `make bench`", jobs, version=()),
        Peer(
            "pingap",
            "pingap",
            "crates.io package pingap, `cargo install pingap` (some minutes)",
            {
                Job.FORWARD: partial(pingap, ""),
                Job.FILTER: partial(pingap, FILTER),
                Job.TLS: partial(pingap, "", tls=True),
                Job.WEBSOCKET: partial(pingap, ""),
            },
        ),
    ]


def pingap(location: str, site: Site, *, tls: bool = False) -> Command:
    secure = certificate = ""
    if tls:
        secure = "global_certificates = true\nenabled_h2 = true"
        certificate = f"""
[certificates.local]
domains = "localhost"
tls_cert = "{site.shared}/cert.pem"
tls_key = "{site.shared}/key.pem"
is_default = true
"""
    config = site.write(
        "pingap.toml",
        f"""
[basic]
threads = {site.workers}
work_stealing = false
pid_file = "{site.folder}/pingap.pid"
upgrade_sock = "{site.folder}/pingap.sock"
upstream_keepalive_pool_size = {site.kept}
log_level = "error"
[upstreams.origin]
addrs = ["127.0.0.1:{site.upstream_port}"]
[locations.all]
upstream = "origin"
path = "/"
{location}
{certificate}
[servers.web]
addr = "127.0.0.1:{site.port}"
locations = ["all"]
threads = {site.workers}
{secure}
""",
    )
    return Command(["pingap", "-c", config])
