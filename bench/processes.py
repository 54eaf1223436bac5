"""Servers that the bench starts: each listens before it is used, and ends with its block."""

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from accounting import process_tree
from peers import Command

START_SECONDS = 60
STOP_SECONDS = 10


@contextmanager
def running(name: str, command: Command, port: int, output: Path):
    """Start a server, wait until it listens, give its process, and stop it afterwards.

    What it says goes to the file `output`.
    """
    environment = os.environ | command.environment
    with output.open("wb") as log:
        # In a session of its own: what the terminal sends (Ctrl-C) is for us, and we stop it.
        process = subprocess.Popen(
            command.argv, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        wait_until_listening(name, process, port, output)
        yield process
    finally:
        stop(process)


def wait_until_listening(
    name: str, process: subprocess.Popen, port: int, output: Path
) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            time.sleep(0.02)
    ended = process.poll()
    why = f"does not listen after {START_SECONDS} s" if ended is None else f"ended with {ended}"
    last = output.read_text(errors="replace")[-800:].strip()
    raise RuntimeError(f"{name} {why}: {last}")


def stop(process: subprocess.Popen) -> None:
    """End the server and what it started: first by request, then by force."""
    if process.poll() is not None:
        return
    tree = process_tree(process.pid)
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
        return
    except subprocess.TimeoutExpired:
        pass
    for pid in tree:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. All are held until all are known, so none comes twice."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports
