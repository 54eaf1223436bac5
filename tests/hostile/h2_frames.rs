//! Frames that are no HTTP/2, or come where they may not: the stream or the connection ends, and that is
//! counted.

use super::{Edge, Over};
use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, PADDED, PING, PUSH_PROMISE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get_headers, headers, post_headers,
};
use crate::harness::{Outcome, Wire};

both! {
    connections_that_are_not_http_2_end_and_are_counted,
    streams_that_are_not_http_2_are_reset,
    a_preface_that_breaks_off_is_no_http_2,
    frames_of_unknown_types_and_padding_are_passed_over,
}

const WHOLE: u8 = END_HEADERS | END_STREAM;

/// What ends the whole connection.
fn fatal() -> Vec<(&'static str, Vec<u8>)> {
    let hpack = |block: &[u8]| frame(HEADERS, WHOLE, 1, block);
    vec![
        ("HEADERS on stream 0", headers(0, WHOLE, &GET)),
        ("HEADERS on an even stream", headers(2, WHOLE, &GET)),
        (
            "streams backwards",
            [get_headers(5), get_headers(3)].concat(),
        ),
        ("DATA on stream 0", frame(DATA, 0, 0, "x")),
        ("DATA on an idle stream", frame(DATA, 0, 1, "x")),
        ("a frame of 1 MiB", frame(DATA, 0, 1, vec![0; 1 << 20])),
        (
            "CONTINUATION alone",
            frame(CONTINUATION, END_HEADERS, 1, block(&GET)),
        ),
        (
            "PING between HEADERS and CONTINUATION",
            [
                frame(HEADERS, END_STREAM, 1, block(&GET)),
                frame(PING, 0, 0, [0; 8]),
            ]
            .concat(),
        ),
        (
            "CONTINUATION of another stream",
            [
                frame(HEADERS, END_STREAM, 1, block(&GET)),
                frame(CONTINUATION, END_HEADERS, 3, []),
            ]
            .concat(),
        ),
        ("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, [0; 4])),
        (
            "RST_STREAM on an idle stream",
            frame(RST_STREAM, 0, 1, [0; 4]),
        ),
        ("RST_STREAM of 3 bytes", frame(RST_STREAM, 0, 1, [0; 3])),
        ("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, [0; 5])),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, [])),
        (
            "an ACK with a payload",
            frame(SETTINGS, 1, 0, [0, 4, 0, 0, 0, 1]),
        ),
        (
            "a window of 2^31",
            frame(SETTINGS, 0, 0, [0, 4, 0x80, 0, 0, 0]),
        ),
        (
            "frames of 1 byte",
            frame(SETTINGS, 0, 0, [0, 5, 0, 0, 0, 1]),
        ),
        (
            "ENABLE_PUSH of 2",
            frame(SETTINGS, 0, 0, [0, 2, 0, 0, 0, 2]),
        ),
        ("PING of 7 bytes", frame(PING, 0, 0, [0; 7])),
        ("WINDOW_UPDATE of 0", frame(WINDOW_UPDATE, 0, 0, [0; 4])),
        (
            "a connection's window over 2^31",
            frame(WINDOW_UPDATE, 0, 0, [0x7f, 0xff, 0xff, 0xff]),
        ),
        (
            "padding longer than the frame",
            [post_headers(1), frame(DATA, PADDED, 1, b"\xffabc")].concat(),
        ),
        ("an index that is not there", hpack(b"\xff\x80\x01")),
        ("an integer without an end", hpack(&[0xff; 100])),
        ("a string longer than the block", hpack(b"\0\x7fabc")),
        ("a table larger than allowed", hpack(b"\x3f\xe1\xff\x03")),
    ]
}

async fn connections_that_are_not_http_2_end_and_are_counted(over: Over) {
    let edge = Edge::new(over).await;
    let mut count = 0.0;
    for (what, bytes) in fatal() {
        let mut frames = edge.proxy.frames().await;
        frames.send(bytes).await;
        let outcome = frames.outcome(99).await;
        assert!(matches!(outcome, Outcome::GoAway(_)), "{what}: {outcome:?}");
        count += 1.0;
        edge.has_cut("h2-error", count).await;
    }
    edge.serves_on().await;
}

async fn streams_that_are_not_http_2_are_reset(over: Over) {
    let edge = Edge::new(over).await;
    let depends_on_itself = [&[0, 0, 0, 1, 16], &block(&GET)[..]].concat();
    for (what, bytes) in [
        (
            "a stream's window over 2^31",
            [
                post_headers(1),
                frame(WINDOW_UPDATE, 0, 1, [0x7f, 0xff, 0xff, 0xff]),
            ]
            .concat(),
        ),
        (
            "a stream that depends on itself",
            frame(HEADERS, WHOLE | 0x20, 1, depends_on_itself),
        ),
        (
            "trailers without END_STREAM",
            [post_headers(1), headers(1, END_HEADERS, &[("x", "y")])].concat(),
        ),
    ] {
        let mut frames = edge.proxy.frames().await;
        frames.send(bytes).await;
        let outcome = frames.outcome(1).await;
        assert!(matches!(outcome, Outcome::Reset(_)), "{what}: {outcome:?}");
        frames.send(get_headers(3)).await;
        assert_eq!(frames.outcome(3).await, Outcome::Status(200), "{what}");
    }
}

async fn a_preface_that_breaks_off_is_no_http_2(over: Over) {
    let edge = Edge::limited(over, "header_timeout = \"300ms\"").await;
    for start in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "PRI * HTTP/2.0\r\nhost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        let mut wire: Wire = edge.wire(start).await;
        let answer = wire.rest().await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{start:?}: {answer:?}");
    }
    assert!(edge.origin.seen().is_empty());
}

async fn frames_of_unknown_types_and_padding_are_passed_over(over: Over) {
    let edge = Edge::new(over).await;
    let mut frames = edge.proxy.frames().await;
    frames.send(frame(0xf0, 0xff, 0, "what is this")).await;
    frames.send(post_headers(1)).await;
    let padded = [&[255][..], b"hello", &[0; 255]].concat();
    frames
        .send(frame(DATA, PADDED | END_STREAM, 1, padded))
        .await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    assert_eq!(edge.origin.seen()[0].body, "hello");
}
