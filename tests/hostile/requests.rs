//! Heads on which servers disagree, or which no client of good will sends. What one server reads differently
//! from the next is how requests are smuggled past a proxy.

use super::{ANY, Edge, Over};
use crate::harness::{Origin, Proxy, Wire, route_to};

both! {
    hosts_that_there_cannot_be,
    targets_that_are_no_path,
    spellings_of_a_path_arrive_as_one,
    bytes_that_are_no_head,
}

/// The proxy refuses these bytes with this status, and nothing of them reaches the origin.
async fn refused(status: u16, bytes: impl AsRef<[u8]>) {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send(bytes).await;
    let response = wire.response().await;
    assert_eq!(response.status, status, "{response:?}");
    // Nobody knows where the next request would begin.
    let rest = wire.rest().await;
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(proxy.get("/next").await.status, 200);
    assert_eq!(origin.seen().len(), 1, "{:?}", origin.seen());
}

/// The proxy refuses these bytes, with an answer or without one, and nothing of them reaches the
/// origin.
async fn not_served(bytes: impl AsRef<[u8]>) {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send(bytes.as_ref()).await;
    let answer = wire.rest_or_first_head().await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.1 5"),
        "{answer:?}"
    );
    assert_eq!(origin.accepted(), 0, "{:?}", origin.seen());
}

/// The proxy serves these bytes, and the origin gets this one request of them.
async fn served(bytes: &str) -> (Origin, Proxy, Wire) {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send(bytes).await;
    assert_eq!(wire.response().await.status, 200);
    (origin, proxy, wire)
}

#[tokio::test]
async fn no_host() {
    refused(400, "GET / HTTP/1.1\r\n\r\n").await;
}

#[tokio::test]
async fn an_empty_host() {
    refused(400, "GET / HTTP/1.1\r\nhost:\r\n\r\n").await;
}

#[tokio::test]
async fn two_hosts() {
    refused(400, "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await;
    refused(400, "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n").await;
}

#[tokio::test]
async fn a_list_of_hosts() {
    refused(400, "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n").await;
}

#[tokio::test]
async fn a_target_with_another_host() {
    refused(400, "GET http://a/ HTTP/1.1\r\nhost: b\r\n\r\n").await;
}

#[tokio::test]
async fn a_target_with_a_user() {
    refused(400, "GET http://user@a/ HTTP/1.1\r\nhost: a\r\n\r\n").await;
}

#[tokio::test]
async fn a_target_that_is_no_path() {
    refused(400, "GET x HTTP/1.1\r\nhost: a\r\n\r\n").await;
    refused(400, "GET * HTTP/1.1\r\nhost: a\r\n\r\n").await;
}

#[tokio::test]
async fn a_target_with_a_space() {
    not_served("GET /a b HTTP/1.1\r\nhost: a\r\n\r\n").await;
}

#[tokio::test]
async fn a_target_with_a_fragment() {
    not_served("GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n").await;
}

#[tokio::test]
async fn a_target_that_is_not_utf_8() {
    refused(400, b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n").await;
}

#[tokio::test]
async fn a_method_that_is_no_token() {
    refused(400, "G@T / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    refused(400, "\x16\x03\x01\x02\0 / HTTP/1.1\r\nhost: a\r\n\r\n").await;
}

#[tokio::test]
async fn connect() {
    refused(405, "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n").await;
}

#[tokio::test]
async fn a_name_with_a_space_before_the_colon() {
    refused(400, "GET / HTTP/1.1\r\nhost: a\r\nx-a : b\r\n\r\n").await;
}

#[tokio::test]
async fn a_value_with_a_nul() {
    refused(400, "GET / HTTP/1.1\r\nhost: a\r\nx-a: b\0c\r\n\r\n").await;
}

#[tokio::test]
async fn a_value_with_a_lone_carriage_return() {
    refused(400, "GET / HTTP/1.1\r\nhost: a\r\nx-a: b\rx-c: d\r\n\r\n").await;
}

#[tokio::test]
async fn a_folded_value() {
    refused(400, "GET / HTTP/1.1\r\nhost: a\r\nx-a: b\r\n c\r\n\r\n").await;
}

#[tokio::test]
async fn lines_that_end_with_a_line_feed_alone() {
    not_served("GET / HTTP/1.1\nhost: a\n\n").await;
    not_served("GET / HTTP/1.1\r\nhost: a\nx-a: b\r\n\r\n").await;
}

#[tokio::test]
async fn connection_names_a_field_of_the_proxy() {
    let head = "GET / HTTP/1.1\r\nhost: a\r\nconnection: x-forwarded-for\r\n\r\n";
    refused(400, head).await;
}

#[tokio::test]
async fn a_second_request_in_the_same_packet_is_another_request() {
    let (origin, _proxy, mut wire) = served(
        "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(wire.response().await.status, 200);
    assert!(wire.rest().await.is_empty());
    let targets: Vec<_> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/1", "/2"]);
}

/// What is served alone is refused alone: the answers before it have come.
#[tokio::test]
async fn a_second_request_is_held_to_the_same_rules() {
    for second in [
        "GET /2 HTTP/1.1\nhost: a\r\n\r\n",
        "GET /2 HTTP/1.1\r\n\r\n",
        "GET /2 HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc",
        "hello\r\n\r\n",
    ] {
        let first = "POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
        let (origin, _proxy, mut wire) = served(&format!("{first}{second}")).await;
        assert_eq!(wire.response().await.status, 400, "{second:?}");
        assert!(wire.rest().await.is_empty(), "{second:?}");
        assert_eq!(origin.seen().len(), 1, "{second:?}");
    }
}

#[tokio::test]
async fn a_body_is_not_taken_for_a_request() {
    let body = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let length = body.len();
    let (origin, _proxy, mut wire) = served(&format!(
        "GET /1 HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
    .await;
    wire.send("GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    wire.rest().await;
    let targets: Vec<_> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/1", "/2"]);
}

#[tokio::test]
async fn trailers_do_not_become_header_fields() {
    let (origin, _proxy, _wire) = served(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-admin\r\n\r\n\
         5;ext=\"1\"\r\nhello\r\n0\r\nx-admin: yes\r\n\r\n",
    )
    .await;
    assert_eq!(origin.seen()[0].body, "hello");
    assert_eq!(origin.seen()[0].header("x-admin"), "");
}

#[tokio::test]
async fn fields_of_the_connection_stay_on_it() {
    let (origin, _proxy, _wire) = served(
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, x-mine\r\nx-mine: 1\r\n\
         keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nte: trailers\r\n\
         upgrade: h2c\r\nx-other: 2\r\n\r\n",
    )
    .await;
    let seen = &origin.seen()[0];
    for name in ["x-mine", "keep-alive", "proxy-connection", "te", "upgrade"] {
        assert_eq!(seen.header(name), "", "{name}");
    }
    assert_eq!(seen.header("x-other"), "2");
}

#[tokio::test]
async fn http_1_0_is_served() {
    let (origin, _proxy, mut wire) = served("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert!(wire.rest().await.is_empty());
    assert_eq!(origin.seen()[0].header("host"), "a");
}

#[tokio::test]
async fn an_unknown_version_is_refused() {
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/3", "HTTP/0.9", "http/1.1"] {
        let origin = Origin::echo().await;
        let proxy = Proxy::start(&route_to(&origin)).await;
        let answer = proxy
            .raw(format!("GET / {version}\r\nhost: a\r\n\r\n"))
            .await;
        assert!(
            !answer.starts_with(b"HTTP/1.1 200"),
            "{version}: {answer:?}"
        );
        assert!(origin.seen().is_empty(), "{version}");
    }
}

#[tokio::test]
async fn tls_to_a_plain_port_is_closed() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    // The beginning of a ClientHello, as `curl https://` sends it.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n";
    let answer = proxy.raw(hello).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
}

async fn hosts_that_there_cannot_be(over: Over) {
    let edge = Edge::new(over).await;
    for host in [
        "", " ", "a, b", "user@a", "a b", "a/b", "a?b", "a#b", "a:port", "a:99999", "a:80:80",
        "[::1", "[::g]", "a..b", "a\\b", "a%00b", "a\"b", "a\u{e9}", "http://a",
    ] {
        let head = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        edge.refuses(400, ANY, head).await;
    }
    edge.refuses(400, "host", "GET / HTTP/1.1\r\n\r\n").await;
    let list = "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n";
    edge.refuses(400, "host", list).await;
}

async fn targets_that_are_no_path(over: Over) {
    let edge = Edge::new(over).await;
    for target in [
        "*",
        "x",
        "a:443",
        "ftp://a/",
        "file:///etc",
        "/a%",
        "/a%4",
        "/a%zz",
        "/a%00b",
        "/../b",
        "/a/../../b",
        "/a/%2e%2e/%2E./b",
        "/%c0%ae%c0%ae/b",
        "/a%e0%80%afb",
        "/a%f0%80%80%afb",
        "/a%c1%9cb",
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        edge.refuses(400, ANY, head).await;
    }
    let overlong = "GET /%c0%ae%c0%ae/ HTTP/1.1\r\nhost: a\r\n\r\n";
    edge.refuses(400, "target", overlong).await;
    let connect = "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n";
    edge.refuses(405, "method", connect).await;
}

/// What comes through a spelling of a path is the one form that routes are compared with.
async fn spellings_of_a_path_arrive_as_one(over: Over) {
    let edge = Edge::new(over).await;
    for (target, arrives) in [
        ("/a/../b", "/b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2E./b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("//a///b", "/a/b"),
        ("/a/./b/.", "/a/b/"),
        ("/a%2fb", "/a%2Fb"),
        ("/a\\..\\b", "/a%5C..%5Cb"),
        ("/a%5c..%5cb", "/a%5C..%5Cb"),
        ("/a/%252e%252e/b", "/a/%252e%252e/b"),
        ("/a;x=/../b", "/b"),
        ("/%61dmin", "/admin"),
        ("http://a/x/../b", "/b"),
        ("/a%23b?c%00#", ""),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut wire = edge.wire(head).await;
        let status = wire.response().await.status;
        if arrives.is_empty() {
            assert_eq!(status, 400, "{target}");
            continue;
        }
        assert_eq!(
            (status, edge.origin.seen().pop().unwrap().target.as_str()),
            (200, arrives)
        );
    }
}

async fn bytes_that_are_no_head(over: Over) {
    let edge = Edge::new(over).await;
    let good = "GET / HTTP/1.1\r\nhost: a\r\n";
    let mut heads = Vec::new();
    for byte in [0, 1, b'\t', 0x0b, b'\r', 0x1f, 0x7f] {
        heads.push([b"GET /a", &[byte][..], b"b HTTP/1.1\r\nhost: a\r\n\r\n"].concat());
    }
    for byte in [0, 1, b'\r', 0x0b, 0x1f, 0x7f] {
        heads.push([good.as_bytes(), b"x: a", &[byte], b"b\r\n\r\n"].concat());
    }
    for field in [
        "x : a",
        " x: a",
        "\tx: a",
        ": a",
        "x",
        "x\0y: a",
        "x(y: a",
        "x: a\r\n b",
        "x: a\n",
        "x: a\ny: b",
    ] {
        heads.push(format!("{good}{field}\r\n\r\n").into());
    }
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /",
        "GET",
        "G@T / HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET / http/1.1",
        "GET / HTTP/1.1 x",
        "GET / HTTP/1.",
        "\x16\x03\x01\x02\0 / HTTP/1.1",
    ] {
        heads.push(format!("{line}\r\nhost: a\r\n\r\n").into());
    }
    for head in heads {
        edge.refuses(400, "malformed", head).await;
    }
    edge.serves_on().await;
}
