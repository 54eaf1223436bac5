"""What an open connection costs that says nothing."""

import socket
import time

from accounting import cpu_seconds, process_tree, resident_mib

from .base import Column, Run

SETTLE_SECONDS = 2
REQUEST = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-token: secret\r\n\r\n"

COST = Column("kib_each", "KiB each", 1, spread=True)
COLUMNS = [
    COST,
    Column("connections", "connections"),
    Column("start_mib", "RSS MiB before", 1),
    Column("idle_mib", "with them", 1),
    Column("cpu_ms", "CPU ms/s", 1),
    Column("errors", "errors"),
]


def measure(run: Run) -> dict:
    """Open connections one after the other, ask once on each, and leave them open."""
    count = run.options.idle
    for _ in range(20):
        ask(run.port).close()
    tree = process_tree(run.process.pid)
    before = resident_mib(tree)
    held = []
    try:
        for _ in range(count):
            held.append(ask(run.port))
        time.sleep(SETTLE_SECONDS)
        with_them, used = resident_mib(tree), cpu_seconds(tree)
        time.sleep(SETTLE_SECONDS)
        used = cpu_seconds(tree) - used
        errors = sum(not answers(each) for each in held[:: max(1, count // 100)])
    finally:
        for each in held:
            each.close()
    return {
        "connections": count,
        "start_mib": before,
        "idle_mib": with_them,
        "kib_each": (with_them - before) * 1024 / count,
        "cpu_ms": used / SETTLE_SECONDS * 1000,
        "errors": errors,
    }


def ask(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 10)
    if not answers(connection):
        connection.close()
        raise RuntimeError("a connection was closed instead of answered")
    return connection


def answers(connection: socket.socket) -> bool:
    """Whether a request on it gets its 200, with the whole body."""
    data = b""
    try:
        connection.sendall(REQUEST)
        while b"\r\n\r\n" not in data or len(data.split(b"\r\n\r\n", 1)[1]) < 1024:
            if not (more := connection.recv(65536)):
                return False
            data += more
    except OSError:
        return False
    return data.startswith(b"HTTP/1.1 200")
