"""Full load, and then latency at a fixed rate that every contender can hold."""

import dataclasses
import time
from collections.abc import Callable

import clients
from accounting import (
    busy_seconds,
    children_seconds,
    cpu_seconds,
    process_tree,
    resident_mib,
)
from clients import Load

from .base import Column, Run

WARM_UP_SECONDS = 1
# With more, what was measured is not the job.
ERRORS_SHARE = 0.01

COST = Column("cpu_us", "CPU-µs/req", 1, spread=True)
COLUMNS = [
    COST,
    Column("per_second", "req/s"),
    Column("p50", "p50 µs"),
    Column("p99", "p99 µs"),
    Column("cores", "cores", 2),
    Column("rss_mib", "RSS MiB", 1),
    Column("errors", "errors"),
]


def columns(rate: int) -> list[Column]:
    """With those of the fixed rate."""
    at = f"at {rate:,}/s"
    return [*COLUMNS, Column("rate_p50", f"p50 µs {at}"), Column("rate_p99", f"p99 µs {at}")]


def full_load(
    client: Callable[[Run, int], Load], rate: int | None = None, path: str = "/"
) -> Callable[[Run], dict]:
    """With `rate`, this many requests in a second for this path follow the full load."""

    def measure(run: Run) -> dict:
        client(run, WARM_UP_SECONDS)
        row = at_full_load(run, client)
        if rate and run.options.rate_seconds:
            row |= at_rate(run, rate, path)
        return row

    return measure


def at_full_load(run: Run, client: Callable[[Run, int], Load]) -> dict:
    tree, behind = process_tree(run.process.pid), process_tree(run.origin.pid)
    begin, before, origins = time.monotonic(), cpu_seconds(tree), cpu_seconds(behind)
    busy, clients_before = busy_seconds(), children_seconds()
    load = client(run, run.options.seconds)
    elapsed, used = time.monotonic() - begin, cpu_seconds(tree) - before
    if load.requests == 0:
        raise RuntimeError("no request was answered")
    if load.errors > load.requests * ERRORS_SHARE:
        raise RuntimeError(f"{load.errors} errors beside {load.requests} answers")
    others = busy_seconds() - busy - used
    others -= children_seconds() - clients_before + cpu_seconds(behind) - origins
    return dataclasses.asdict(load) | {
        "cpu_us": used / load.requests * 1e6,
        "cores": used / elapsed,
        "rss_mib": resident_mib(tree),
        # What else ran on the machine: it makes latencies longer, and throughput less.
        "others_cores": others / elapsed,
    }


def at_rate(run: Run, rate: int, path: str) -> dict:
    phases = [(rate, 0.5), (rate, run.options.rate_seconds)]
    # The first phase opens connections, on both sides of the proxy.
    answer = clients.steady(run.program, run.port, path, phases)
    phase = answer["phases"][1]
    lost = phase["due"] - phase["accepted"]
    return {
        "rate": rate,
        "rate_p50": phase["p50"],
        "rate_p99": phase["p99"],
        "rate_lost": lost,
        "own_lag_p99": answer["own_lag_p99"],
    }
