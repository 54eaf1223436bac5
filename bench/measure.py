"""What a bench run measures: load from wrk, and CPU and memory of a process tree from /proc.

CPU time is utime + stime (proc(5), field 14 and 15 of /proc/PID/stat) in ticks of 10 ms, so a run
of a few seconds is exact to about one percent. Memory is VmRSS at the end of the load, summed over
the tree.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MICROSECONDS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}


@dataclass
class Load:
    """One run of the client. Latencies are in microseconds."""

    requests: int
    errors: int
    per_second: float
    p50: float
    p99: float


def load(url: str, seconds: int, connections: int, headers: dict[str, str]) -> Load:
    """Send requests as fast as they are answered, for `seconds`, over kept connections."""
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for name, value in headers.items():
        argv += ["-H", f"{name}: {value}"]
    done = subprocess.run([*argv, url], capture_output=True, text=True, timeout=seconds + 30)
    if done.returncode != 0:
        raise RuntimeError(f"wrk failed: {(done.stderr or done.stdout).strip()}")
    return parse_wrk(done.stdout)


def parse_wrk(text: str) -> Load:
    """Read wrk's report. Answers outside 2xx and 3xx count as errors, as broken connections do."""
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


def find(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk's report has no {pattern!r}:\n{text}")
    return match[1]


def duration(text: str) -> float:
    """wrk's `1.23ms` in microseconds."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * MICROSECONDS[unit]


def process_tree(root: int) -> list[int]:
    """The process and all its descendants, at this moment."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := stat_fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """CPU time that these processes have used since they began, in user and in kernel mode."""
    fields = (stat_fields(pid) for pid in pids)
    return sum(int(f[11]) + int(f[12]) for f in fields if f) / TICKS_PER_SECOND


def resident_mib(pids: list[int]) -> float:
    """Resident memory of these processes together, in MiB."""
    kib = 0
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        kib += sum(int(n) for n in re.findall(r"VmRSS:\s+(\d+)", status))
    return kib / 1024


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (the name before may hold anything).

    Empty when the process has gone.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return []
