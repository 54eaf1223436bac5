"""How long a start takes, and what a proxy has then."""

import time

from accounting import cpu_seconds, process_tree, resident_mib

from .base import Column, Run

SETTLE_SECONDS = 1

COST = Column("start_ms", "listens after ms", 0, spread=True)
COLUMNS = [COST, Column("cpu_ms", "CPU ms"), Column("rss_mib", "RSS MiB", 1)]


def measure(run: Run) -> dict:
    time.sleep(SETTLE_SECONDS)
    tree = process_tree(run.process.pid)
    return {
        "start_ms": run.started * 1000,
        "cpu_ms": cpu_seconds(tree) * 1000,
        "rss_mib": resident_mib(tree),
    }
