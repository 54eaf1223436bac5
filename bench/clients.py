"""Load generators: wrk and h2load as fast as answers come, and bench-load (in load/) at a fixed rate.

Latencies are in microseconds.
"""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from peers import API_KEY

# What every request of every scenario carries.
FIELDS = {"x-token": "secret", "x-api-key": API_KEY}
# What takes longer counts as an error. It is long where thousands take turns.
WRK_TIMEOUT = "10s"
MICROSECONDS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}


@dataclass
class Load:
    """One run of a client."""

    requests: int
    errors: int
    per_second: float
    p50: float
    p99: float


def run(argv: list[str], seconds: float) -> str:
    """The output of a client that should be done after this time."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def wrk(url: str, seconds: int, connections: int, script: Path | None = None) -> Load:
    """Answers outside 2xx and 3xx count as errors, as broken connections do."""
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"--timeout={WRK_TIMEOUT}"]
    argv += [f"-H{name}: {value}" for name, value in FIELDS.items()]
    argv += ["-s", str(script)] if script else []
    text = run([*argv, url], seconds)
    errors = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    for line in re.findall(r"Socket errors: (.*)", text):
        errors += sum(int(n) for n in re.findall(r"\d+", line))
    return Load(
        requests=int(find(r"(\d+) requests in", text)),
        errors=errors,
        per_second=float(find(r"Requests/sec:\s+([\d.]+)", text)),
        p50=duration(find(r"(?m)^\s+50%\s+(\S+)", text)),
        p99=duration(find(r"(?m)^\s+99%\s+(\S+)", text)),
    )


def h2load(url: str, seconds: int, connections: int, streams: int, folder: Path) -> Load:
    """HTTP/2, so many requests at once on each connection."""
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    argv = ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}"]
    argv += [f"-H{name}: {value}" for name, value in FIELDS.items()]
    text = run([*argv, f"--log-file={log}", url], seconds)
    # A line for each request: when it began, its status, microseconds.
    latencies = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    good = int(find(r"status codes: (\d+) 2xx", text))
    failed = int(find(r"succeeded, (\d+) failed", text))
    refused = sum(int(n) for n in re.findall(r"(\d+) [45]xx", text))
    return Load(
        requests=good,
        errors=failed + refused,
        per_second=good / seconds,
        p50=at(latencies, 0.5),
        p99=at(latencies, 0.99),
    )


def websocket(program: Path, port: int, seconds: float, connections: int) -> Load:
    """Messages of 125 bytes there and back, one at a time on each connection."""
    argv = [str(program), "ws", f"127.0.0.1:{port}", str(connections), str(seconds), "125"]
    answer = json.loads(run(argv, seconds))
    return Load(**{key: answer[key] for key in Load.__annotations__})


def steady(
    program: Path,
    port: int,
    path: str,
    phases: list[tuple[float, float]],
    connections: int = 64,
    timeout_ms: int = 2000,
) -> dict:
    """So many requests in a second, for so many seconds, phase after phase, come what may.

    Latencies count from the moment at which a request was due.
    """
    argv = steady_argv(program, port, path, phases, connections, timeout_ms)
    return json.loads(run(argv, sum(seconds for _, seconds in phases)))


def steady_argv(
    program: Path,
    port: int,
    path: str,
    phases: list[tuple[float, float]],
    connections: int = 64,
    timeout_ms: int = 2000,
) -> list[str]:
    plan = ",".join(f"{rate}:{seconds}" for rate, seconds in phases)
    fields = [f"{name}: {value}" for name, value in FIELDS.items()]
    where = [f"127.0.0.1:{port}", path]
    return [str(program), "rate", *where, str(connections), str(timeout_ms), plan, *fields]


def find(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"the client's report has no {pattern!r}:\n{text}")
    return match[1]


def duration(text: str) -> float:
    """wrk's `1.23ms` in microseconds."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * MICROSECONDS[unit]


def at(ordered: list[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0
