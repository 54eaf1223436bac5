"""Full load while something grows: what a request costs then, and what memory one more takes."""

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import origin
from accounting import busy_seconds, cpu_seconds, process_tree, proportional_mib, resident_mib
from clients import Load

from .base import Column, Contender, Run
from .full import COST

# Before the count begins: connections are open, and so many have to be opened in a second.
WARM_UP_SECONDS = 1
OPENED_IN_A_SECOND = 1000
# The client goes on for as long after it.
END_SECONDS = 1
COLUMNS = [
    COST,
    Column("per_second", "req/s"),
    Column("cores", "cores", 2),
    Column("rss_mib", "RSS MiB", 1),
    Column("pss_mib", "PSS MiB", 1),
    Column("kib_each", "KiB each", 1),
    Column("errors", "errors"),
]


def full_load(client: Callable[[Run, int], Load]) -> Callable[[Run], dict]:
    """What is counted lies in the middle of the load, so that no connection is opened or closed meanwhile."""

    def measure(run: Run) -> dict:
        before = WARM_UP_SECONDS + run.connections // OPENED_IN_A_SECOND
        with ThreadPoolExecutor() as pool:
            load = pool.submit(client, run, before + run.options.seconds + END_SECONDS)
            time.sleep(before)
            row = amid(run)
        load = load.result()
        if not row:
            raise RuntimeError(f"no answer while it was counted, {load.requests} in all, {load.errors} errors")
        return row | {"errors": load.errors}

    return measure


def amid(run: Run) -> dict:
    """The figures of the next seconds; nothing where no request is answered in them."""
    # All that a bench starts descends from it, and lives longer than this.
    tree, all_of_us = process_tree(run.process.pid), process_tree(os.getpid())
    begin, used, requests = time.monotonic(), cpu_seconds(tree), origin.requests(run.site.upstream_port)
    others = busy_seconds() - cpu_seconds(all_of_us)
    time.sleep(run.options.seconds)
    requests = origin.requests(run.site.upstream_port) - requests
    used, elapsed = cpu_seconds(tree) - used, time.monotonic() - begin
    others = busy_seconds() - cpu_seconds(all_of_us) - others
    # One of them was our question.
    if requests < 2:
        return {}
    return {
        "cpu_us": used / requests * 1e6,
        "per_second": requests / elapsed,
        "cores": used / elapsed,
        "rss_mib": resident_mib(tree),
        "pss_mib": proportional_mib(tree),
        "others_cores": others / elapsed,
    }


def memory_each(contenders: list[Contender], rows: list[dict]) -> None:
    """Add to the rows what each unit takes beyond the first contender of its series."""
    first: dict[str, tuple[int, float]] = {}
    for contender in contenders:
        own = [row for row in rows if row["contender"] == contender.label and "pss_mib" in row]
        if not own:
            continue
        median = statistics.median(row["pss_mib"] for row in own)
        units, base = first.setdefault(contender.series, (contender.units, median))
        if contender.units > units:
            for row in own:
                row["kib_each"] = (row["pss_mib"] - base) * 1024 / (contender.units - units)
