"""What a request asks of the kernel, as strace counts it. No measure of time: strace makes each call slow."""

import re
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import clients
from accounting import process_tree

from .base import Column, Run

WARM_UP_SECONDS = 1
STOP_SECONDS = 20
# By the name of a column, the system calls that are counted there.
GROUPS = {
    "reads": ("read", "readv", "recvfrom", "recvmsg"),
    "writes": ("write", "writev", "sendto", "sendmsg", "sendfile"),
    "waits": ("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select"),
    "about sockets": ("getpeername", "getsockname", "getsockopt", "setsockopt"),
    "epoll_ctl": ("epoll_ctl",),
    "futex": ("futex",),
}
# Threads that look at the clock now and then, whatever is asked of the proxy.
SLEEPS = ("clock_nanosleep", "nanosleep")

COST = Column("calls", "calls/req", 2, spread=True)
COLUMNS = [
    COST,
    *(Column(name, name, 2) for name in (*GROUPS, "others")),
    Column("sleeps", "sleeps/s"),
    Column("requests", "requests"),
]


def measure(run: Run) -> dict:
    """All calls of all processes and threads while a client asks as fast as it is answered."""
    clients.wrk(run.url("/"), WARM_UP_SECONDS, run.connections)
    report = run.scratch / "strace"
    with traced(process_tree(run.process.pid), report):
        load = clients.wrk(run.url("/"), run.options.seconds, run.connections)
    if load.requests == 0:
        raise RuntimeError("no request was answered")
    counts = counted(report.read_text())
    sleeps = sum(counts.get(call, 0) for call in SLEEPS)
    row = {name: sum(counts.get(call, 0) for call in calls) for name, calls in GROUPS.items()}
    total = sum(counts.values()) - sleeps
    row |= {"calls": total, "others": total - sum(row.values())}
    each = {name: count / load.requests for name, count in row.items()}
    beside = {"sleeps": sleeps / run.options.seconds, "requests": load.requests, "counts": counts}
    return each | beside


@contextmanager
def traced(pids: list[int], report: Path):
    """Count what these processes call in the block; the counts are in `report` after it."""
    if shutil.which("strace") is None:
        raise RuntimeError("strace not found: Debian package strace")
    argv = ["strace", "-f", "-c", "-U", "calls,name", "-o", str(report)]
    argv += [f"--attach={pid}" for pid in pids]
    strace = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        for _ in pids:
            line = strace.stderr.readline()
            if "attached" not in line:
                raise RuntimeError(f"strace: {line.strip() or 'ended'}")
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        try:
            strace.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            strace.kill()
            strace.communicate()


def counted(report: str) -> dict[str, int]:
    """By name, how often each was called."""
    lines = re.findall(r"(?m)^\s*(\d+)\s+(\w+)\s*$", report)
    return {name: int(count) for count, name in lines if name != "total"}
