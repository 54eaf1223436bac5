"""Caddy, with its own directives."""

from functools import partial

from .base import Command, Job, Peer, Site

HEADERS = """
    request_header x-bench 1
    header x-bench 1"""

FILTER = f"""
    @refused not header x-token secret
    respond @refused 403{HEADERS}"""


def peers() -> list[Peer]:
    return [
        Peer(
            "caddy",
            "caddy",
            "Debian package caddy",
            {
                Job.FORWARD: partial(command, ""),
                Job.FILTER: partial(command, FILTER),
                Job.HEADERS: partial(command, HEADERS),
                Job.TLS: partial(command, "", tls=True),
                Job.WEBSOCKET: partial(command, ""),
            },
            version=("version",),
        )
    ]


def command(directives: str, site: Site, *, tls: bool = False) -> Command:
    address = f"https://localhost:{site.port}" if tls else f"http://:{site.port}"
    certificate = f"tls {site.shared}/cert.pem {site.shared}/key.pem" if tls else ""
    config = site.write(
        "Caddyfile",
        f"""
{{
    admin off
    auto_https off
    log {{
        output discard
    }}
}}
{address} {{
    bind 127.0.0.1
    {certificate}{directives}
    reverse_proxy 127.0.0.1:{site.upstream_port} {{
        transport http {{
            keepalive_idle_conns_per_host {site.kept}
        }}
    }}
}}
""",
    )
    home = str(site.folder)
    environment = {
        "GOMAXPROCS": str(site.workers),
        "HOME": home,
        "XDG_CONFIG_HOME": home,
        "XDG_DATA_HOME": home,
    }
    return Command(["caddy", "run", "--config", config, "--adapter", "caddyfile"], environment)
