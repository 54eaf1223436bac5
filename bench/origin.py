"""What stands behind the proxies: nginx for requests, small servers of ours for the rest.

Each function gets bench-load, a folder and a port, and gives the command of one server.
"""

import http.client
import re
from pathlib import Path

from peers import Command
from peers.nginx import start

BODY = "tidegate" * 128  # 1 KiB
LARGE = "".join(f"{line:06} the quick brown fox jumps over the lazy dog\n" for line in range(1300))
LARGE = LARGE[:65536]
UPLOAD_BYTES = 100 * 1024


def nginx(load: Path, folder: Path, port: int) -> Command:
    """Answers from memory, or from a file that is open and cached:

    - `/` and `/r…/`: 1 KiB
    - `/seen`: the `x-bench` that reached it
    - `/large`: 64 KiB
    - `/upload`: reads the body, then says how many bytes the request had
    - `/status`: how many requests it had so far, among others
    """
    (folder / "large").write_text(LARGE)
    return start(
        folder,
        1,
        f"""
    open_file_cache max=10;
    client_body_buffer_size 256k;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {folder};
        default_type text/plain;
        location = / {{ return 200 "{BODY}"; }}
        location /r {{ return 200 "{BODY}"; }}
        location = /seen {{ return 200 "$http_x_bench"; }}
        location = /large {{ }}
        # `return` alone would answer before the body is there.
        location = /upload {{
            proxy_pass http://127.0.0.1:{port}/uploaded;
            proxy_pass_request_body off;
            proxy_set_header content-length "";
            proxy_set_header x-length $request_length;
        }}
        location = /uploaded {{ return 200 "$http_x_length"; }}
        location = /status {{ stub_status; }}
    }}""",
    )


def requests(port: int) -> int:
    """How many the nginx on this port has had."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/status")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return int(re.search(r"(?m)^ \d+ \d+ (\d+)", text)[1])


def echo(load: Path, folder: Path, port: int) -> Command:
    """Upgrades, and sends WebSocket messages back."""
    return Command([str(load), "echo", f"127.0.0.1:{port}"])


SLOTS, SLOT_MILLISECONDS = 20, 10
SLOW_CAPACITY = SLOTS * 1000 // SLOT_MILLISECONDS  # requests in a second


def slow(load: Path, folder: Path, port: int) -> Command:
    """Has a capacity that is known and small; beyond it requests wait."""
    return Command([str(load), "slow", f"127.0.0.1:{port}", str(SLOTS), str(SLOT_MILLISECONDS)])
