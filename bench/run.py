#!/usr/bin/env python3
"""Compare the proxy with its peers on this machine: `make bench`, or `bench/run.py --help`.

Every contender is started, checked, warmed up, loaded and stopped in turn; the turns are repeated
in alternating order, and the table shows medians. Only the standard library is used. README.md
beside this file says how to read the table.
"""

import argparse
import dataclasses
import http.client
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import contenders
from contenders import Contender, Site
from measure import cpu_seconds, load, process_tree, resident_mib

WARM_UP_SECONDS = 1
# What a contender that does not work may cause; the others are still worth measuring.
FAILURES = (RuntimeError, OSError, subprocess.SubprocessError, http.client.HTTPException)


def main() -> int:
    options = arguments()
    # Ends through the `finally` blocks, so that no server is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    for needed in ("wrk", "nginx"):
        if shutil.which(needed) is None:
            package = "nginx-light" if needed == "nginx" else needed
            return complain(f"{needed} not found, and no bench without it: Debian package {package}")

    chosen = present(options)
    if not chosen:
        return complain("no contender is left to measure")
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
        rows = measure_all(chosen, options, Path(folder))
    print_table([c.name for c in chosen], rows)
    return 1 if any("failure" in row for row in rows) else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Proxy with 0, 1 and 5 plugins against its peers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--seconds", type=int, default=5, help="length of one measured load")
    add("--reps", type=int, default=3, help="loads per contender; the table shows the median")
    add("--connections", type=int, default=32, help="kept client connections")
    add("--only", default="", help="contenders whose name begins so, separated by commas")
    add("--access-log", action="store_true", help="every contender writes its access log")
    add("--out", type=Path, default=None, help="append one line of JSON per load to this file")
    add("--tidegate", default="target/release/tidegate", help="binary to measure")
    return parser.parse_args()


def present(options: argparse.Namespace) -> list[Contender]:
    """The contenders that were asked for and can run here; says which cannot, and why."""
    wanted = tuple(filter(None, options.only.split(",")))
    found, missing = [], {}
    for contender in contenders.contenders(options.tidegate):
        if wanted and not contender.name.startswith(wanted):
            continue
        if why := contender.missing():
            missing.setdefault(why, []).append(contender.name)
        else:
            found.append(contender)
    for why, names in missing.items():
        print(f"left out: {', '.join(names)} ({why})")
    return found


def measure_all(chosen: list[Contender], options: argparse.Namespace, folder: Path) -> list[dict]:
    """All loads of all contenders, interleaved so that a busy minute hits everyone alike."""
    port = contenders.free_ports(1)[0]
    (folder / "origin").mkdir()
    argv = contenders.origin(folder / "origin", port)
    rows = []
    with contenders.running("the origin", argv, port, folder / "origin"):
        for rep in range(options.reps):
            for contender in chosen if rep % 2 == 0 else reversed(chosen):
                place = folder / f"{rep}-{contender.name.replace(' ', '-')}"
                row = {"contender": contender.name, "rep": rep}
                try:
                    row |= measure(contender, options, place, port)
                except FAILURES as error:
                    row["failure"] = str(error)
                report(row, options)
                rows.append(row)
    return rows


def measure(
    contender: Contender, options: argparse.Namespace, folder: Path, origin_port: int
) -> dict:
    """One load. Times are in microseconds, memory in MiB."""
    folder.mkdir()
    port, admin_port = contenders.free_ports(2)
    site = Site(folder, port, admin_port, origin_port, options.access_log)
    url = f"http://127.0.0.1:{port}/"
    headers = contenders.REQUEST_HEADERS
    with contenders.running(contender.name, contender.command(site), port, folder) as process:
        contenders.check(contender, port)
        load(url, WARM_UP_SECONDS, options.connections, headers)
        tree = process_tree(process.pid)
        before = cpu_seconds(tree)
        result = load(url, options.seconds, options.connections, headers)
        used = cpu_seconds(tree) - before
        memory = resident_mib(tree)
    if result.requests == 0:
        raise RuntimeError("no request was answered")
    return dataclasses.asdict(result) | {
        "cpu_us": used / result.requests * 1e6,
        "rss_mib": memory,
    }


def report(row: dict, options: argparse.Namespace) -> None:
    """Show that something moves, and keep the raw figures if asked to."""
    outcome = row.get("failure") or f"{row['per_second']:.0f} req/s, {row['cpu_us']:.1f} CPU-µs"
    print(f"{row['rep'] + 1}/{options.reps} {row['contender']}: {outcome}", flush=True)
    if options.out:
        with options.out.open("a") as file:
            file.write(json.dumps(row) + "\n")


def print_table(names: list[str], rows: list[dict]) -> None:
    """Medians per contender; ratios are to the first contender that has figures."""
    head = ["", "req/s", "CPU-µs/req", "min-max", "ratio", "p50 µs", "p99 µs", "RSS MiB", "errors"]
    table, base = [head], None
    for name in names:
        good = [r for r in rows if r["contender"] == name and "failure" not in r]
        if not good:
            table.append([name, "failed"] + [""] * (len(head) - 2))
            continue
        middle = {
            key: statistics.median(r[key] for r in good)
            for key in ("per_second", "cpu_us", "p50", "p99", "rss_mib")
        }
        base = base or middle["cpu_us"]
        costs = [r["cpu_us"] for r in good]
        table.append([
            name,
            f"{middle['per_second']:.0f}",
            f"{middle['cpu_us']:.1f}",
            f"{min(costs):.1f}-{max(costs):.1f}",
            f"{middle['cpu_us'] / base:.2f}" if base else "-",
            f"{middle['p50']:.0f}",
            f"{middle['p99']:.0f}",
            f"{middle['rss_mib']:.1f}",
            str(sum(r["errors"] for r in good)),
        ])
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    print()
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())


def complain(message: str) -> int:
    print(f"bench: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
