"""What processes use, as /proc tells it.

CPU time is utime + stime (proc(5), fields 14 and 15 of /proc/PID/stat) of all processes of a proxy, in
ticks of 10 ms: over a few seconds it is exact to about one percent. Memory is VmRSS.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


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


def children_seconds() -> float:
    """CPU time of our children that have ended: the clients."""
    times = os.times()
    return times.children_user + times.children_system


def busy_seconds() -> float:
    """CPU time that the whole machine has used since it began, what it was denied included."""
    fields = [int(f) for f in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / TICKS_PER_SECOND


def resident_mib(pids: list[int]) -> float:
    """Resident memory of these processes together, in MiB."""
    return status_mib(pids, "VmRSS")


def proportional_mib(pids: list[int]) -> float:
    """As `resident_mib`, with a share of each page for each of its mappings, in MiB.

    What instances of a plugin share, the beginning of their memory, is resident once and mapped by each.
    """
    kib = 0
    for pid in pids:
        with suppress(OSError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            kib += int(re.search(r"(?m)^Pss:\s+(\d+)", rollup)[1])
    return kib / 1024


def peak_mib(pids: list[int]) -> float:
    """The most that they ever had resident, each for itself, in MiB."""
    return status_mib(pids, "VmHWM")


def status_mib(pids: list[int], name: str) -> float:
    kib = 0
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        kib += sum(int(n) for n in re.findall(rf"{name}:\s+(\d+)", status))
    return kib / 1024


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (the name before may hold anything).

    Empty when the process has gone.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return []
