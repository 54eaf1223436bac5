"""The proxies that are compared, one file for each."""

from pathlib import Path

from . import caddy, envoy, haproxy, nginx, pingora, tidegate
from .base import Command, Job, Peer, Site
from .tidegate import API_KEY

__all__ = ["API_KEY", "Command", "Job", "Peer", "Site", "all_peers"]


def all_peers(program: Path, wasm: Path) -> list[Peer]:
    """With our binary, and the folder of the filters that were built for the bench."""
    ours = {name: wasm / f"bench_{name}.wasm" for name in ("token", "fresh", "pass", "upper")}
    return [
        *nginx.peers(),
        *haproxy.peers(),
        *caddy.peers(),
        *envoy.peers(wasm / "bench_proxy_wasm.wasm"),
        *pingora.peers(program.parent.parent / "release" / "examples" / "plain_pingora"),
        *tidegate.peers(program, ours),
    ]
