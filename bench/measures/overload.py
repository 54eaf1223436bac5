"""Three times as many requests as the upstream can take, between times with a quarter of it."""

import clients
from accounting import cpu_seconds, peak_mib, process_tree, resident_mib
from origin import SLOW_CAPACITY

from .base import Column, Run

TIMES_CAPACITY = 3
# Clients go away after this.
TIMEOUT_MS = 1000
# As many as can be under way, so that each request is sent when it is due.
CONNECTIONS = SLOW_CAPACITY * TIMES_CAPACITY * TIMEOUT_MS // 1000
# At least: a queue needs time to grow.
STORM_SECONDS = 4
# After it. A recovery that takes as long was not seen.
WATCHED_SECONDS = 15

COST = Column("p99", "p99 ms", 0, spread=True)
COLUMNS = [
    Column("offered", "offered req/s"),
    Column("accepted", "accepted/s"),
    Column("p50", "p50 ms"),
    COST,
    Column("refused", "refused/s"),
    Column("refused_p99", "p99 ms"),
    Column("given_up", "given up/s"),
    Column("broken", "broken/s"),
    Column("before_mib", "RSS MiB before", 1),
    Column("peak_mib", "peak", 1),
    Column("cpu_us", "CPU-µs/req", 1),
    Column("recovery_ms", "recovers in ms", 0, spread=True),
]


def measure(run: Run) -> dict:
    """Figures of the time beyond capacity, and how long after it requests still went wrong or were late."""
    seconds = max(run.options.seconds, STORM_SECONDS)
    calm, storm = SLOW_CAPACITY / 4, SLOW_CAPACITY * TIMES_CAPACITY
    clients.steady(run.program, run.port, "/", [(calm, 1)])
    tree = process_tree(run.process.pid)
    before, used = resident_mib(tree), cpu_seconds(tree)
    phases = [(calm, 2), (storm, seconds), (calm, WATCHED_SECONDS)]
    answer = clients.steady(run.program, run.port, "/", phases, CONNECTIONS, TIMEOUT_MS)
    used = cpu_seconds(tree) - used
    _, beyond, after = answer["phases"]
    requests = sum(phase["due"] for phase in answer["phases"])
    return {
        "offered": storm,
        "accepted": beyond["accepted"] / seconds,
        "p50": beyond["p50"] / 1000,
        "p99": beyond["p99"] / 1000,
        "refused": beyond["refused"] / seconds,
        "refused_p99": beyond["refused_p99"] / 1000,
        "given_up": beyond["timeouts"] / seconds,
        "broken": (beyond["errors"] + beyond["other"]) / seconds,
        "before_mib": before,
        "peak_mib": peak_mib(tree),
        "cpu_us": used / requests * 1e6,
        "recovery_ms": after["late_until_ms"],
        "own_lag_p99": answer["own_lag_p99"],
    }
