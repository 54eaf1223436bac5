"""A gRPC client: calls every kind of method, and says `ok NAME` for each that behaves.

    client.py ADDRESS [CA]      with TLS where an authority is given
"""

import queue
import sys

import grpc

OK, CODE = grpc.StatusCode.OK, grpc.StatusCode


def unary(channel):
    call = channel.unary_unary("/test.Echo/Unary")
    answer, call = call.with_call(b"hello", metadata=[("x-leading", "a")], timeout=10)
    assert answer == b"hello", answer
    assert ("x-initial", "yes") in call.initial_metadata(), call.initial_metadata()
    assert ("x-trailing", "a") in call.trailing_metadata(), call.trailing_metadata()
    assert call.code() == OK


def empty_and_large(channel):
    call = channel.unary_unary("/test.Echo/Unary")
    assert call(b"", timeout=10) == b""
    large = bytes(range(256)) * 8192
    assert call(large, timeout=10) == large


def many_at_once(channel):
    call = channel.unary_unary("/test.Echo/Unary")
    calls = [call.future(b"%d" % n, timeout=15) for n in range(200)]
    for number, each in enumerate(calls):
        assert each.result() == b"%d" % number


def server_stream(channel):
    call = channel.unary_stream("/test.Echo/ServerStream")
    answers = list(call(b"100", timeout=10))
    assert answers == [b"%d" % n for n in range(100)], answers
    assert list(call(b"0", timeout=10)) == []


def client_stream(channel):
    call = channel.stream_unary("/test.Echo/ClientStream")
    parts = [b"%d" % n for n in range(100)]
    assert call(iter(parts), timeout=10) == b",".join(parts)
    assert call(iter([]), timeout=10) == b""


def bidi(channel):
    """Each message is sent after the answer to the one before: nothing on the way waits for more."""
    sent = queue.Queue()
    call = channel.stream_stream("/test.Echo/Bidi")
    answers = call(iter(sent.get, None), timeout=15)
    for number in range(100):
        sent.put(b"%d" % number)
        assert next(answers) == b"%d" % number
    sent.put(None)
    assert list(answers) == []
    assert answers.code() == OK


def trailers_only(channel):
    call = channel.unary_unary("/test.Echo/Refuse")
    error = failure(lambda: call(b"", timeout=10))
    assert error.code() == CODE.FAILED_PRECONDITION, error
    assert error.details() == "not today: 100 %, \u00fcber", error.details()
    trailing = dict(error.trailing_metadata())
    assert trailing["x-reason"] == "tired", trailing
    assert trailing["x-detail-bin"] == b"\x00\xff", trailing


def status_after_messages(channel):
    answers = channel.unary_stream("/test.Echo/BreakOff")(b"", timeout=10)
    assert [next(answers), next(answers)] == [b"one", b"two"]
    error = failure(lambda: next(answers))
    assert (error.code(), error.details()) == (CODE.DATA_LOSS, "no more"), error


def unknown_method(channel):
    error = failure(lambda: channel.unary_unary("/test.Echo/None")(b"", timeout=10))
    assert error.code() == CODE.UNIMPLEMENTED, error


def deadline(channel):
    left = channel.unary_unary("/test.Echo/TimeLeft")(b"", timeout=10)
    # It is sent rounded up.
    assert 0 < float(left) < 11, left
    error = failure(lambda: list(channel.unary_stream("/test.Echo/Wait")(b"", timeout=0.5)))
    assert error.code() == CODE.DEADLINE_EXCEEDED, error


def cancellation(channel):
    answers = channel.unary_stream("/test.Echo/Wait")(b"", timeout=20)
    assert next(answers) == b"waiting"
    answers.cancel()
    assert channel.unary_unary("/test.Echo/WasCancelled")(b"", timeout=15) == b"yes"


def failure(call):
    try:
        answer = call()
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"answered {answer!r}")


if len(sys.argv) == 3:
    with open(sys.argv[2], "rb") as ca:
        credentials = grpc.ssl_channel_credentials(ca.read())
    channel = grpc.secure_channel(sys.argv[1], credentials)
else:
    channel = grpc.insecure_channel(sys.argv[1])
for case in (
    unary,
    empty_and_large,
    many_at_once,
    server_stream,
    client_stream,
    bidi,
    trailers_only,
    status_after_messages,
    unknown_method,
    cancellation,
    deadline,
):
    case(channel)
    print("ok", case.__name__, flush=True)
channel.close()
