#!/usr/bin/env python3
"""Compare the proxy with its peers on this machine: `make bench`, or `bench/run.py --help`.

README.md beside this file says what is measured and how to read it. Only the standard library is used.
"""

import argparse
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import environment
import report
import runner
from peers import Peer, all_peers
from scenarios import SCENARIOS, Scenario

ROOT = Path(__file__).resolve().parent.parent
OPEN_FILES = 20000
NEEDED = {
    "nginx": "Debian package nginx-light",
    "wrk": "Debian package wrk",
    "h2load": "Debian package nghttp2-client",
    "openssl": "Debian package openssl",
}


def main() -> int:
    options = arguments()
    # Both end through the `finally` blocks, so that no server is left behind.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    open_files()
    # Where Debian keeps nginx, and where `make bench` puts what is from elsewhere.
    os.environ["PATH"] += f":/usr/sbin:{ROOT}/target/tools/bin"
    build = options.build.resolve()
    needed = NEEDED | {str(build / "release" / "bench-load"): "built by `make bench`"}
    for program, source in needed.items():
        if shutil.which(program) is None:
            return complain(f"{program} not found, and no bench without it: {source}")
    wasm = build / "wasm32-unknown-unknown" / "release"
    peers = present(all_peers(options.tidegate.resolve(), wasm))
    wanted = names(options.scenario)
    if unknown := wanted - {each.name for each in SCENARIOS}:
        return complain(f"no scenario {', '.join(unknown)}: {', '.join(s.name for s in SCENARIOS)}")

    head = environment.head(options, peers)
    print("\n".join(f"{name}: {value}" for name, value in head.items()), "\n", flush=True)
    failed = False
    tables = []
    try:
        for scenario in SCENARIOS:
            if wanted and scenario.name not in wanted:
                continue
            table = measure(scenario, peers, options)
            print(f"\n{report.text(table)}\n", flush=True)
            tables.append(table)
            failed = failed or bool(table.failures)
    except KeyboardInterrupt:
        print("\nstopped; what is complete is kept", file=sys.stderr)
        failed = True
    if not tables:
        return 1
    head["load average, end"] = environment.load_average()
    for folder in [options.out] + ([options.save] if options.save else []):
        for path in report.write(folder, options.name, head, tables):
            print(f"wrote {path}")
    return 1 if failed else 0


def open_files() -> None:
    """Thousands of connections are as many descriptors, here and in what we start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if wanted < OPEN_FILES:
        print(f"this user may open {hard} files, {OPEN_FILES} are wanted: much may fail that needs many connections")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def measure(scenario: Scenario, peers: list[Peer], options: argparse.Namespace) -> report.Table:
    beginnings = tuple(names(options.only))
    contenders = scenario.contenders(peers)
    if beginnings:
        contenders = [each for each in contenders if each.label.startswith(beginnings)]
    rows = runner.measure_all(scenario, contenders, options)
    if scenario.complete:
        scenario.complete(contenders, rows)
    return report.Table(scenario, contenders, rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="The proxy beside its peers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--scenario", default="", help=f"some of: {', '.join(s.name for s in SCENARIOS)}")
    add("--only", default="", help="contenders whose name begins so, separated by commas")
    add("--seconds", type=int, default=4, help="length of a load as fast as answers come")
    add("--rate-seconds", type=int, default=3, help="length of a load at a fixed rate; 0 is none")
    add("--reps", type=int, default=3, help="turns of each contender; tables show the median")
    add("--quick", action="store_true", help="one turn of one second each, to see that it works")
    add("--quiet", type=int, default=0, help="wait up to so many seconds for others before each turn")
    add("--connections", type=int, default=32, help="client connections")
    add("--idle", type=int, default=5000, help="connections of the scenario `idle`")
    add("--out", type=Path, default=Path("target/bench"), help="where JSON, tables and picture go")
    add("--save", type=Path, help="another folder that gets them, such as docs/bench")
    add("--name", default="results", help="what the files there are called")
    add("--tidegate", type=Path, default=Path("target/optimised/tidegate"), help="binary to measure")
    add("--build", type=Path, default=Path("target/bench-build"), help="filters and bench-load")
    options = parser.parse_args()
    if options.quick:
        options.seconds = options.rate_seconds = options.reps = 1
    return options


def present(peers: list[Peer]) -> list[Peer]:
    """Those that can run here; says which cannot, and why."""
    missing: dict[str, list[str]] = {}
    for peer in peers:
        if why := peer.missing():
            missing.setdefault(why, []).append(peer.name)
    for why, absent in missing.items():
        print(f"left out: {', '.join(absent)} ({why})")
    return [peer for peer in peers if not peer.missing()]


def names(text: str) -> set[str]:
    return set(filter(None, text.split(",")))


def complain(message: str) -> int:
    print(f"bench: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
