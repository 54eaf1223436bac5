"""What a measure gets and what its figures are called."""

import argparse
import subprocess
from dataclasses import dataclass
from pathlib import Path

from peers import Job, Peer, Site


@dataclass(frozen=True)
class Contender:
    """A proxy with a job, which is a row of a table."""

    label: str
    peer: Peer
    job: Job
    workers: int = 1
    routes: int = 0
    connections: int | None = None
    """Of clients, where it is not what the options say."""
    series: str = ""
    """Contenders of one series differ in `units` alone; ratios are to the first of them."""
    units: int = 0
    """How many there are of what the scenario lets grow."""
    first: bool = False
    """Whether each start is its first, with nothing kept from others."""
    changes: bool = False
    """Whether it is changed under load, in the scenario that does so."""


@dataclass(frozen=True)
class Run:
    """A contender that listens."""

    contender: Contender
    site: Site
    scratch: Path
    """A folder for the files of clients."""
    process: subprocess.Popen
    options: argparse.Namespace
    program: Path
    """bench-load."""
    origin: subprocess.Popen
    started: float
    """The seconds from its start until it listened."""

    @property
    def connections(self) -> int:
        return self.contender.connections or self.options.connections

    @property
    def port(self) -> int:
        return self.site.port

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def tls_url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"


@dataclass(frozen=True)
class Column:
    """A figure: its key in a row of results, its heading, and how it is written."""

    key: str
    heading: str
    digits: int = 0
    spread: bool = False
    """Whether the extremes of the repetitions are shown beside the median."""
