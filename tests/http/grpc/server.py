"""A gRPC server: says `listening ADDRESS`, then serves until its input ends.

    server.py [CERT KEY]        with TLS where these files are given
"""

import sys
import threading
from concurrent import futures

import grpc

cancelled = threading.Event()


def unary(request, context):
    given = dict(context.invocation_metadata())
    context.set_trailing_metadata([("x-trailing", given.get("x-leading", "none"))])
    context.send_initial_metadata([("x-initial", "yes")])
    return request


def server_stream(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def client_stream(requests, context):
    return b",".join(requests)


def bidi(requests, context):
    yield from requests


def refuse(request, context):
    context.set_trailing_metadata([("x-reason", "tired"), ("x-detail-bin", b"\x00\xff")])
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: 100 %, \u00fcber")


def break_off(request, context):
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.DATA_LOSS, "no more")


def wait(request, context):
    ended = threading.Event()

    def end():
        # Here, because nobody asks a cancelled call for more.
        cancelled.set()
        ended.set()

    context.add_callback(end)
    yield b"waiting"
    ended.wait(20)


def was_cancelled(request, context):
    return b"yes" if cancelled.wait(10) else b"no"


def time_left(request, context):
    left = context.time_remaining()
    return b"none" if left is None else str(left).encode()


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    "BreakOff": grpc.unary_stream_rpc_method_handler(break_off),
    "Wait": grpc.unary_stream_rpc_method_handler(wait),
    "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    "TimeLeft": grpc.unary_unary_rpc_method_handler(time_left),
}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers(
    (grpc.method_handlers_generic_handler("test.Echo", METHODS),)
)
if len(sys.argv) == 3:
    with open(sys.argv[1], "rb") as cert, open(sys.argv[2], "rb") as key:
        credentials = grpc.ssl_server_credentials([(key.read(), cert.read())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(f"listening 127.0.0.1:{port}", flush=True)
sys.stdin.read()
server.stop(None)
