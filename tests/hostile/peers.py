#!/usr/bin/env python3
"""What Tidegate, nginx and HAProxy do with hostile input, side by side, as the table of docs/security.md.

    cargo build && python3 tests/hostile/peers.py            the table
    python3 tests/hostile/peers.py --only chunk              rows whose name has this word
    python3 tests/hostile/peers.py --tidegate /path/to/bin   another program

nginx and HAProxy come from Debian (`apt install nginx-light haproxy`). All three run as plain reverse
proxies on loopback, in front of one origin that answers every request with 200. A cell says what the
client got (the status, `closed` without an answer, a frame of HTTP/2, a message of TLS, `waits` where nothing
came for two seconds) and, where the origin got anything, what: `→ 1` is one request, with the part that matters.
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import inputs
import tls_inputs

QUIET = 2.0


class Origin:
    """Answers every request with 200 and remembers what came, byte by byte."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.seen = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        came = b""
        try:
            while True:
                while b"\r\n\r\n" not in came:
                    more = client.recv(65536)
                    if not more:
                        return
                    came += more
                head, came = came.split(b"\r\n\r\n", 1)
                body, came = self.body(client, head, came)
                self.seen.append((head, body))
                if b"/large" in head.split(b"\r\n")[0]:
                    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n" + bytes(50_000_000))
                else:
                    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except OSError:
            pass
        finally:
            client.close()

    def body(self, client, head, came):
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        if re.search(rb"(?im)^transfer-encoding:", head):
            while not came.endswith(b"0\r\n\r\n"):
                more = client.recv(65536)
                if not more:
                    raise OSError("the body ended early")
                came += more
            return came, b""
        wanted = int(length[1]) if length else 0
        while len(came) < wanted:
            more = client.recv(65536)
            if not more:
                raise OSError("the body ended early")
            came += more
        return came[:wanted], came[wanted:]


class Peer:
    """A proxy: where it is for HTTP/1.1, for HTTP/2 and for TLS."""

    def __init__(self, name, version, process, h1, h2, tls):
        self.name, self.version, self.process = name, version, process
        self.h1, self.h2, self.tls = h1, h2, tls

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def memory(self):
        """Bytes that it has of its own, its workers' among them."""
        listed = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout
        sizes = []
        for process in [self.process.pid, *listed.split()]:
            with open(f"/proc/{process}/status") as status:
                sizes.append(int(re.search(r"RssAnon:\s*(\d+)", status.read())[1]) * 1024)
        return sum(sizes)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def wait_for(port):
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


def own(parent):
    """A folder for one peer, with a.pem and a.key, and both.pem as HAProxy wants them."""
    folder = tempfile.mkdtemp(dir=parent)
    cert, key = os.path.join(folder, "a.pem"), os.path.join(folder, "a.key")
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    made += ["-subj", "/CN=a", "-addext", "subjectAltName=DNS:a", "-out", cert, "-keyout", key]
    subprocess.run(made, check=True, capture_output=True)
    with open(os.path.join(folder, "both.pem"), "w") as both:
        for file in [cert, key]:
            with open(file) as part:
                both.write(part.read())
    return folder


def tidegate(binary, folder, origin, seconds):
    port, tls, config = free_port(), free_port(), os.path.join(folder, "tidegate.toml")
    os.makedirs(os.path.join(folder, "plugins"), exist_ok=True)
    with open(config, "w") as file:
        file.write(
            f"""
[log]
level = "error"
[admin]
address = "127.0.0.1:{free_port()}"
[limits]
header_timeout = "{seconds}s"
handshake_timeout = "{seconds}s"
read_timeout = "{seconds}s"
write_timeout = "{seconds}s"
idle_timeout = "{seconds}s"
[[listener]]
name = "web"
address = "127.0.0.1:{port}"
[[listener]]
name = "tls"
address = "127.0.0.1:{tls}"
[listener.tls]
certificates = [{{ cert = "a.pem", key = "a.key" }}]
[[route]]
name = "all"
upstream = "app"
[upstream.app]
peers = ["127.0.0.1:{origin.port}"]
"""
        )
    process = subprocess.Popen([binary, "run", "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    version = subprocess.run([binary, "version"], capture_output=True, text=True).stdout.split("\n")[0]
    wait_for(port)
    return Peer("Tidegate", version, process, port, port, tls)


def nginx(folder, origin, seconds):
    h1, h2, tls = free_port(), free_port(), free_port()
    config = os.path.join(folder, "nginx.conf")
    paths = "\n".join(
        f"{name}_temp_path {folder}/{name};" for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    )
    with open(config, "w") as file:
        file.write(
            f"""
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    {paths}
    client_header_timeout {seconds}s;
    client_body_timeout {seconds}s;
    send_timeout {seconds}s;
    keepalive_timeout {seconds}s;
    server {{
        listen 127.0.0.1:{h1};
        listen 127.0.0.1:{h2} http2;
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {folder}/a.pem;
        ssl_certificate_key {folder}/a.key;
        location / {{
            proxy_pass http://127.0.0.1:{origin.port};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""
        )
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([binary, "-c", config, "-e", f"{folder}/error.log"], stderr=subprocess.DEVNULL)
    version = subprocess.run([binary, "-v"], capture_output=True, text=True).stderr.strip().split("/")[-1]
    wait_for(h1)
    return Peer("nginx", version, process, h1, h2, tls)


def haproxy(folder, origin, seconds):
    port, tls, config = free_port(), free_port(), os.path.join(folder, "haproxy.cfg")
    with open(config, "w") as file:
        file.write(
            f"""
defaults
    mode http
    timeout connect 1s
    timeout server 5s
    timeout client {seconds}s
    timeout http-request {seconds}s
    timeout http-keep-alive {seconds}s
frontend web
    bind 127.0.0.1:{port}
    bind 127.0.0.1:{tls} ssl crt {folder}/both.pem
    default_backend app
backend app
    server app 127.0.0.1:{origin.port}
"""
        )
    binary = shutil.which("haproxy") or "/usr/sbin/haproxy"
    process = subprocess.Popen([binary, "-db", "-q", "-f", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    version = subprocess.run([binary, "-v"], capture_output=True, text=True).stdout.split()[2]
    wait_for(port)
    return Peer("HAProxy", version, process, port, port, tls)


def statuses(came):
    """The final statuses in what came, the first ones first."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([2-5]\d\d)", came)]


def ask(peer, origin, row):
    """Sends one row's bytes and says what came of them."""
    before = len(origin.seen)
    port = peer.tls if row.tls else peer.h2 if row.h2 else peer.h1
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(QUIET)
    by_hand = row.tls or row.h2
    answer = by_hand(client) if by_hand else answer_h1(client, row)
    client.close()
    time.sleep(0.05)
    seen = origin.seen[before:]
    if not seen:
        return answer
    shown = "" if row.show is None else " " + ", ".join(row.show(head, body) for head, body in seen)
    return f"{answer} → {len(seen)}{shown}"


def flood(start, row):
    """What a flood costs a peer of its own, whose memory no other one has used."""
    peer = start(60)
    try:
        return row.flood(peer)
    finally:
        peer.stop()


def answer_h1(client, row):
    came, ended = b"", False
    try:
        for piece in row.pieces:
            client.sendall(piece)
            if row.pause:
                time.sleep(row.pause)
    except OSError:
        ended = True
    try:
        while True:
            more = client.recv(65536)
            if not more:
                ended = True
                break
            came += more
    except TimeoutError:
        pass
    except OSError:
        ended = True
    found = [str(status) for status in statuses(came)]
    if not found and came:
        return "an answer of HTTP/0.9"
    if len(found) > 3:
        found = [f"{found[0]} × {len(found)}"]
    return " ".join(found) or ("closed" if ended else "waits")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tidegate", default=os.environ.get("TIDEGATE_BIN", "target/debug/tidegate"))
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    folder, origin, peers = tempfile.mkdtemp(), Origin(), []
    starts = [
        lambda seconds: tidegate(arguments.tidegate, own(folder), origin, seconds),
        lambda seconds: nginx(own(folder), origin, seconds),
        lambda seconds: haproxy(own(folder), origin, seconds),
    ]
    try:
        peers.extend(start(1) for start in starts)
        titles = [f"{peer.name} {peer.version}" for peer in peers[1:]]
        group = None
        for row in [*inputs.rows(), *tls_inputs.rows()]:
            if arguments.only not in f"{row.group} {row.name}":
                continue
            if row.group != group:
                group = row.group
                print(f"\n### {group}\n\n| Input | Tidegate | " + " | ".join(titles) + " |\n|---|---|---|---|")
            if row.flood:
                cells = [flood(start, row) for start in starts]
            else:
                cells = [ask(peer, origin, row).replace("|", "\\|") for peer in peers]
            print(f"| {row.name} | " + " | ".join(cells) + " |", flush=True)
    finally:
        for peer in peers:
            peer.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
