"""Where and when a run was: what a reader needs to judge its figures."""

import argparse
import datetime
import os
import platform
import re
import subprocess
from pathlib import Path

from peers import Peer

ROOT = Path(__file__).resolve().parent.parent


def head(options: argparse.Namespace, peers: list[Peer]) -> dict[str, str]:
    """Facts by name, in the order in which they are shown."""
    commit = output(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"])
    changed = output(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"])
    built = datetime.datetime.fromtimestamp(options.tidegate.stat().st_mtime, datetime.timezone.utc)
    return {
        "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
        "commit": commit + (", with changes" if changed else ""),
        # The folder says how it was built: release/ by `make bench`, debug/ for tests.
        "binary": f"{'/'.join(options.tidegate.parts[-2:])}, built {built:%Y-%m-%d %H:%M} UTC",
        "machine": f"{processor()}, {os.cpu_count()} cores, {memory_gib():.0f} GiB",
        "system": f"{distribution()}, Linux {platform.release()}",
        "versions": "; ".join(dict.fromkeys(filter(None, map(version, peers)))),
        "turns": f"{options.reps} of {options.seconds} s, {options.connections} connections",
        "load average, start": load_average(),
    }


def load_average() -> str:
    return " ".join(f"{each:.2f}" for each in os.getloadavg())


def version(peer: Peer) -> str:
    """The program's name and the number in the first line that has one."""
    if not peer.version:
        return ""
    name = peer.name.split()[0]
    text = output([peer.program, *peer.version])
    number = re.search(r"\d+\.\d+(\.\d+)?", text)
    return f"{name} {number[0]}" if number else name


def processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def memory_gib() -> float:
    return int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / 2**20


def distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "an unknown distribution")


def output(argv: list[str]) -> str:
    """What a program says, on either stream; nothing if it cannot be run."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout + done.stderr).strip()
