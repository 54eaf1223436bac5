"""Changes under load: a plugin is replaced, or a proxy that has none reads its configuration again."""

import hashlib
import json
import signal
import subprocess
import time
import urllib.request

import clients
from accounting import peak_mib, process_tree
from peers.tidegate import another

from .base import Column, Run

RATE = 2000
PAUSE_SECONDS = 0.3
PATIENCE_SECONDS = 10

COST = Column("p99", "p99 µs", spread=True)
COLUMNS = [
    Column("changes", "changes"),
    Column("slowest_ms", "slowest live after ms", 0, spread=True),
    Column("rate", "at req/s"),
    Column("p50", "p50 µs"),
    COST,
    Column("max", "max µs"),
    Column("errors", "errors"),
    Column("rss_mib", "RSS MiB, peak", 1),
]


def measure(run: Run) -> dict:
    """Load at a fixed rate; meanwhile, where the contender is one that changes, changes follow each other."""
    seconds = run.options.seconds
    argv = clients.steady_argv(run.program, run.port, "/", [(RATE, 0.5), (RATE, seconds)])
    client = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        change = replace_plugin if run.contender.peer.name == "tidegate" else reload
        taken = []
        time.sleep(0.5)
        end = time.monotonic() + seconds - PAUSE_SECONDS
        while run.contender.changes and time.monotonic() < end:
            taken.append(change(run, len(taken)))
            time.sleep(PAUSE_SECONDS)
        output = client.communicate(timeout=seconds + 60)[0]
    finally:
        client.kill()
        client.wait()
    answer = json.loads(output)
    phase = answer["phases"][1]
    known = [each for each in taken if each is not None]
    return {
        "changes": len(taken),
        "slowest_ms": max(known) * 1000 if known else None,
        "rate": RATE,
        "p50": phase["p50"],
        "p99": phase["p99"],
        "max": phase["max"],
        "errors": phase["due"] - phase["accepted"],
        "own_lag_p99": answer["own_lag_p99"],
        "rss_mib": peak_mib(process_tree(run.process.pid)),
    }


def replace_plugin(run: Run, number: int) -> float:
    """Drop another version of the plugin in; gives the seconds until it is live."""
    path = run.site.folder / "plugins" / "token.wasm"
    content = another(path.read_bytes(), f"change {number}")
    version = hashlib.sha256(content).hexdigest()[:12]
    fresh = path.with_name(".token.tmp")
    fresh.write_bytes(content)
    begin = time.monotonic()
    fresh.rename(path)
    url = f"http://127.0.0.1:{run.site.admin_port}/plugins"
    while version not in urllib.request.urlopen(url, timeout=5).read().decode():
        if time.monotonic() - begin > PATIENCE_SECONDS:
            raise RuntimeError(f"the new version is not live after {PATIENCE_SECONDS} s")
        time.sleep(0.01)
    return time.monotonic() - begin


def reload(run: Run, number: int) -> None:
    """The signal that nginx reads its configuration at; it does not say when it has."""
    run.process.send_signal(signal.SIGHUP)
