"""Contenders take turns, forwards and then backwards, so that a busy minute hits all of them alike."""

import argparse
import http.client
import json
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from accounting import busy_seconds
from measures import Contender, Run
from peers import Site
from probes import PROBES
from processes import free_ports, running
from scenarios import Scenario

KEPT = 256
# What others may use of the machine where a turn is to wait for quiet.
QUIET_CORES = 0.2
# What a contender that does not work may cause; the others are still worth measuring.
FAILURES = (
    RuntimeError,
    OSError,
    ValueError,
    subprocess.SubprocessError,
    http.client.HTTPException,
)


def measure_all(
    scenario: Scenario, contenders: list[Contender], options: argparse.Namespace
) -> list[dict]:
    """One row for each turn of each contender."""
    print(f"{scenario.name}: {scenario.title}", flush=True)
    program = options.build.resolve() / "release" / "bench-load"
    rows = []
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as name:
        folder = Path(name)
        certificate(folder)
        for contender in contenders:
            if contender.peer.caches and not contender.first:
                # A start that is not measured. What keeps it from starting is told by its turns.
                with suppress(*FAILURES), started(scenario, contender, options, folder, program):
                    pass
        for rep in range(options.reps):
            for contender in contenders if rep % 2 == 0 else reversed(contenders):
                row = {"contender": contender.label, "rep": rep}
                wait_for_quiet(options.quiet)
                try:
                    row |= turn(scenario, contender, options, folder, program)
                except FAILURES as error:
                    row["failure"] = str(error)
                tell(scenario, row, options)
                rows.append(row)
    return rows


def turn(
    scenario: Scenario,
    contender: Contender,
    options: argparse.Namespace,
    shared: Path,
    program: Path,
) -> dict:
    with started(scenario, contender, options, shared, program) as run:
        (scenario.probe or PROBES[contender.job])(run)
        row = scenario.measure(run)
        if run.process.poll() is not None:
            raise RuntimeError(f"ended with {run.process.returncode} under load")
    return row


@contextmanager
def started(
    scenario: Scenario,
    contender: Contender,
    options: argparse.Namespace,
    shared: Path,
    program: Path,
):
    """An upstream and the contender in front of it, until the block ends."""
    port, admin_port, upstream_port = free_ports(3)
    # What is written during a load stays out of the site: proxies may watch their configuration's folder.
    scratch = Path(tempfile.mkdtemp(dir=shared))
    for name in ("site", "upstream"):
        (scratch / name).mkdir()
    site = Site(
        folder=scratch / "site",
        port=port,
        admin_port=admin_port,
        upstream_port=upstream_port,
        shared=shared,
        cache=(scratch if contender.first else shared) / "cache",
        workers=contender.workers,
        routes=contender.routes,
        # As many as clients may have: with fewer, some requests would each open one.
        kept=max(KEPT, contender.connections or 0),
    )
    with ExitStack() as servers:
        command = scenario.upstream(program, scratch / "upstream", upstream_port)
        start = running("the upstream", command, upstream_port, scratch / "upstream.log")
        upstream = servers.enter_context(start)
        command = contender.peer.jobs[contender.job](site)
        begin = time.monotonic()
        start = running(contender.label, command, port, scratch / "output.log")
        process = servers.enter_context(start)
        elapsed = time.monotonic() - begin
        yield Run(contender, site, scratch, process, options, program, upstream, elapsed)


def wait_for_quiet(seconds: int) -> None:
    """Until others use little of the machine, or this time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = busy_seconds()
        time.sleep(0.5)
        if busy_seconds() - before < 0.5 * QUIET_CORES:
            return


def certificate(folder: Path) -> None:
    """A certificate for localhost that lives as long as the run."""
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    argv = ["openssl", "req", "-x509", "-days", "2", *curve, *subject, *files]
    subprocess.run(argv, check=True, capture_output=True)
    both = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "both.pem").write_text(both)


def tell(scenario: Scenario, row: dict, options: argparse.Namespace) -> None:
    """Show that something moves, and keep the raw figures: a run that is stopped has them."""
    cost = scenario.cost
    figure = row.get(cost.key)
    outcome = row.get("failure") or f"{figure:.{cost.digits}f} {cost.heading}"
    print(f"  {row['rep'] + 1}/{options.reps} {row['contender']}: {outcome}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "turns.jsonl").open("a") as file:
        file.write(json.dumps({"scenario": scenario.name} | row) + "\n")
