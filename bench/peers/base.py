"""What a peer is: a proxy that can be configured for jobs."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

# Requests that a proxy lets through at once where it is told to bound them.
IN_FLIGHT = 40
ROOT = Path(__file__).resolve().parent.parent.parent


class Job(Enum):
    """What a proxy is configured to do. The value stands beside its name in tables."""

    FORWARD = "forwards"
    FILTER = "filter"
    HEADERS = "headers"
    PASS = "pass"
    UPPER = "upper"
    TLS = "tls"
    WEBSOCKET = "websocket"
    ROUTES = "routes"
    LOG = "access log"
    BOUNDED = "bounded"
    # What only Tidegate is asked to do, to see what its plugins cost.
    FIVE = "five plugins"
    FRESH = "fresh instances"
    ASIDE = "filter for another path"
    ROUTES_FILTER = "filter on each route"
    HUNDRED = "100 plugins"


@dataclass(frozen=True)
class Site:
    """Where a proxy runs, and what its configuration has to know."""

    folder: Path
    port: int
    admin_port: int
    upstream_port: int
    shared: Path
    """A folder of all turns: cert.pem, key.pem and both.pem for `localhost`."""
    cache: Path
    """A folder for what is kept between starts."""
    workers: int
    routes: int
    kept: int
    """The most unused connections to the origin that a proxy keeps."""

    def write(self, name: str, text: str) -> str:
        """Put a file into the folder; gives its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def route_paths(self) -> list[str]:
        """The beginnings of the paths that are routed one by one, where there are such routes."""
        return [f"/r{number}/" for number in range(self.routes)]


@dataclass(frozen=True)
class Command:
    """How a proxy is started."""

    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """A proxy, or a proxy with one of its ways to be programmed."""

    name: str
    program: str
    """A name to be found on PATH, or a path."""
    source: str
    """Where who does not have it gets it."""
    jobs: dict[Job, Callable[[Site], Command]]
    caches: bool = False
    """Whether its first start does what later ones need not do again."""
    needs: tuple[Path, ...] = ()
    """Files without which it does not run, such as modules of the program."""
    version: tuple[str, ...] = ("--version",)
    """Arguments that make the program tell its version."""

    def missing(self) -> str | None:
        """What keeps it from running here, with what to do about it."""
        if shutil.which(self.program) is None:
            return f"{self.program} not found: {self.source}"
        for path in self.needs:
            if not path.exists():
                return f"{path} not found: {self.source}"
        return None


def as_root() -> bool:
    return os.geteuid() == 0
