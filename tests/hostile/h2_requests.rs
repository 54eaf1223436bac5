//! Requests in HTTP/2 that an HTTP/1.1 server behind the proxy would read as something else (RFC 9113 §10.3).

use super::{Edge, Over, is_refused};
use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, POST, block, frame, headers,
    post_headers,
};
use crate::harness::{Outcome, get};

both! {
    fields_that_would_be_others_in_http_1_are_refused,
    pseudo_fields_that_break_out_of_the_request_line_are_refused,
    a_length_that_is_not_the_bodys_does_not_arrive,
    a_malformed_request_costs_no_other_one,
    too_many_malformed_requests_end_the_connection,
    streams_above_the_limit_are_counted,
    what_never_gets_to_a_phase_is_counted,
}

/// Fields of which one spoils a request.
const FIELDS: [(&str, &str); 24] = [
    ("transfer-encoding", "chunked"),
    ("connection", "close"),
    ("connection", "x-forwarded-for"),
    ("keep-alive", "1"),
    ("proxy-connection", "close"),
    ("upgrade", "h2c"),
    ("te", "gzip"),
    ("X-Upper", "a"),
    ("", "a"),
    ("x y", "a"),
    ("x:y", "a"),
    ("x\r\ny", "a"),
    ("x\0", "a"),
    ("x", "a\r\nb: c"),
    ("x", "a\nb"),
    ("x", "a\rb"),
    ("x", "a\0b"),
    ("host", "b"),
    ("content-length", "+0"),
    ("content-length", "5"),
    (":x", "a"),
    (":path", "/again"),
    (":authority", "b"),
    (":status", "200"),
];

/// Pseudo-fields that take the place of good ones.
const PSEUDO_FIELDS: [(&str, &str); 23] = [
    (":path", ""),
    (":path", "a"),
    (":path", "*"),
    (":path", "/a b"),
    (":path", "/a\r\nx: y"),
    (":path", "/ HTTP/1.1\r\nhost: b\r\n\r\nGET /s"),
    (":path", "/a\0b"),
    (":path", "http://b/"),
    (":path", "/%00"),
    (":path", "/../a"),
    (":method", ""),
    (":method", "G T"),
    (":method", "GET / HTTP/1.1\r\nx: y\r\n\r\nGET"),
    (":method", "CONNECT"),
    (":authority", ""),
    (":authority", "a b"),
    (":authority", "a\r\nx: y"),
    (":authority", "user@a"),
    (":authority", "a/b"),
    (":authority", "a:99999"),
    (":authority", "a, b"),
    (":scheme", "http://b/?"),
    (":scheme", "http\r\nx: y"),
];

impl Edge {
    async fn refuses_frames(&self, what: &str, bytes: &[u8]) {
        let mut frames = self.proxy.frames().await;
        frames.send(bytes).await;
        let outcome = frames.outcome(1).await;
        assert!(is_refused(outcome), "{what}: {outcome:?}");
        let seen = self.origin.seen();
        assert!(seen.is_empty(), "{what}: {seen:?}");
    }
}

async fn fields_that_would_be_others_in_http_1_are_refused(over: Over) {
    let edge = Edge::new(over).await;
    for field in FIELDS {
        let fields: Vec<_> = GET.into_iter().chain([field]).collect();
        let bytes = headers(1, END_HEADERS | END_STREAM, &fields);
        edge.refuses_frames(&format!("{field:?}"), &bytes).await;
        // As trailers they are refused, or dropped as all trailers of requests are.
        let trailers = headers(1, END_HEADERS | END_STREAM, &[field]);
        let bytes = [post_headers(1), frame(DATA, 0, 1, "abc"), trailers].concat();
        let mut frames = edge.proxy.frames().await;
        frames.send(bytes).await;
        if frames.outcome(1).await == Outcome::Status(200) {
            let seen = edge.origin.seen().pop().unwrap();
            assert_eq!(seen.body, "abc");
            assert!(!seen.headers.contains_key("x"), "{field:?}");
            edge.origin.forget();
        }
    }
    edge.serves_on().await;
}

async fn pseudo_fields_that_break_out_of_the_request_line_are_refused(over: Over) {
    let edge = Edge::new(over).await;
    for (name, value) in PSEUDO_FIELDS {
        let replaced = GET.map(|(other, good)| (other, if other == name { value } else { good }));
        let bytes = headers(1, END_HEADERS | END_STREAM, &replaced);
        edge.refuses_frames(&format!("{name} {value:?}"), &bytes)
            .await;
    }
    for missing in 0..GET.len() {
        let mut fields = GET.to_vec();
        let (name, _) = fields.remove(missing);
        let bytes = headers(1, END_HEADERS | END_STREAM, &fields);
        edge.refuses_frames(&format!("no {name}"), &bytes).await;
    }
    let after: Vec<_> = [("x", "a")].into_iter().chain(GET).collect();
    let bytes = headers(1, END_HEADERS | END_STREAM, &after);
    edge.refuses_frames("pseudo-fields after a field", &bytes)
        .await;
    edge.serves_on().await;
}

async fn a_length_that_is_not_the_bodys_does_not_arrive(over: Over) {
    let edge = Edge::new(over).await;
    for (lengths, body) in [
        (&["5"][..], "abc"),
        (&["3"], "abcde"),
        (&["3", "5"], "abc"),
        (&["3, 5"], "abc"),
        (&["0x3"], "abc"),
        (&["18446744073709551619"], "abc"),
    ] {
        let lengths = lengths.iter().map(|length| ("content-length", *length));
        let fields: Vec<_> = POST.into_iter().chain(lengths).collect();
        let bytes = [
            headers(1, END_HEADERS, &fields),
            frame(DATA, END_STREAM, 1, body),
        ]
        .concat();
        edge.refuses_frames(&format!("{fields:?}"), &bytes).await;
    }
    edge.serves_on().await;
}

async fn a_malformed_request_costs_no_other_one(over: Over) {
    let edge = Edge::new(over).await;
    let mut frames = edge.proxy.frames().await;
    let mut bad = GET.to_vec();
    bad.push(("connection", "close"));
    frames
        .send(headers(1, END_HEADERS | END_STREAM, &bad))
        .await;
    assert_eq!(frames.outcome(1).await, Outcome::Reset(1));
    frames
        .send(frame(HEADERS, END_HEADERS | END_STREAM, 3, block(&GET)))
        .await;
    assert_eq!(frames.outcome(3).await, Outcome::Status(200));
    edge.has_refused("malformed", 1.0).await;
}

async fn too_many_malformed_requests_end_the_connection(over: Over) {
    let edge = Edge::new(over).await;
    let mut bad = GET.to_vec();
    bad.push(("content-length", "5, 6"));
    let mut frames = edge.proxy.frames().await;
    for stream in 0..1000 {
        frames
            .send(headers(2 * stream + 1, END_HEADERS | END_STREAM, &bad))
            .await;
    }
    assert!(matches!(
        frames.outcome(2001).await,
        Outcome::GoAway(_) | Outcome::Closed
    ));
    assert!(edge.origin.seen().is_empty());
    assert_eq!(
        edge.proxy.h2_client().await.send(get("/")).await.status,
        200
    );
}

/// The libraries answer it, and tell nobody.
async fn what_never_gets_to_a_phase_is_counted(over: Over) {
    let edge = Edge::new(over).await;
    let mut frames = edge.proxy.frames().await;
    let two_hosts = [&GET[..], &[("host", "b")]].concat();
    let ends = END_HEADERS | END_STREAM;
    frames.send(headers(1, ends, &two_hosts)).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(400));
    edge.has_refused("malformed", 1.0).await;
    let long = "x".repeat(14_000);
    let begun = frame(HEADERS, END_STREAM, 3, block(&GET));
    let more = |flags| frame(CONTINUATION, flags, 3, block(&[("x", &long)]));
    frames
        .send([begun, more(0), more(0), more(END_HEADERS)].concat())
        .await;
    assert_eq!(frames.outcome(3).await, Outcome::Status(431));
    edge.has_refused("header-bytes", 1.0).await;
    assert!(edge.origin.seen().is_empty());
}

async fn streams_above_the_limit_are_counted(over: Over) {
    let edge = Edge::limited(over, "h2_streams = 1").await;
    let mut frames = edge.proxy.frames().await;
    let open = [post_headers(1), post_headers(3)].concat();
    frames.send(open).await;
    assert_eq!(frames.outcome(3).await, Outcome::Reset(7));
    edge.has_refused("h2-streams", 1.0).await;
}
