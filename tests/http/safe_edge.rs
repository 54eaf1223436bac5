//! Requests on which servers disagree, or which no client of good will sends. What one server reads
//! differently from the next is how requests are smuggled past a proxy.

use crate::harness::{Origin, Proxy, Wire, route_to};

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
async fn a_host_that_is_none() {
    for host in [
        "user@a", "a b", "a/b", "a?b", "a:port", "a:99999", "[::1", "a..b",
    ] {
        refused(400, format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
    }
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
async fn a_target_with_control_characters() {
    for byte in [0, 1, b'\t', 0x0b, 0x1f, 0x7f] {
        let target = [b"/a", &[byte][..], b"b"].concat();
        not_served([b"GET ", &target[..], b" HTTP/1.1\r\nhost: a\r\n\r\n"].concat()).await;
    }
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
async fn a_very_large_head() {
    let large = "x".repeat(900_000);
    refused(
        431,
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {large}\r\n\r\n"),
    )
    .await;
}

#[tokio::test]
async fn very_many_fields() {
    let many = "x: y\r\n".repeat(300);
    // More than the parser takes at all.
    refused(400, format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n")).await;
}

#[tokio::test]
async fn connection_names_a_field_of_the_proxy() {
    let head = "GET / HTTP/1.1\r\nhost: a\r\nconnection: x-forwarded-for\r\n\r\n";
    refused(400, head).await;
}

#[tokio::test]
async fn transfer_encoding_in_http_1_0() {
    let head = "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(400, head).await;
}

#[tokio::test]
async fn a_transfer_encoding_that_only_looks_chunked() {
    for encoding in [
        "xchunked",
        "chunked, identity",
        "identity",
        ",chunked,x",
        "",
    ] {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding";
        refused(400, format!("{head}: {encoding}\r\n\r\n0\r\n\r\n")).await;
    }
}

#[tokio::test]
async fn encodings_that_the_next_server_may_take_for_something_else() {
    for encoding in [
        "chunked, chunked",
        "gzip, chunked",
        "identity\r\ntransfer-encoding: chunked",
    ] {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding";
        not_served(format!("{head}: {encoding}\r\n\r\n0\r\n\r\n")).await;
    }
}

#[tokio::test]
async fn a_list_of_equal_lengths_is_refused_or_made_one() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    for lengths in ["5,5", "5, 5", "5\r\ncontent-length: 5"] {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length";
        let mut wire = proxy.wire().await;
        wire.send(format!("{head}: {lengths}\r\n\r\nhello")).await;
        let before = origin.seen().len();
        // RFC 9110 §8.6 allows both.
        match wire.response().await.status {
            200 => {
                let seen = origin.seen();
                assert_eq!(seen.last().unwrap().header("content-length"), "5");
            }
            status => {
                assert_eq!((status, origin.seen().len()), (400, before));
                assert_eq!(origin.accepted(), 0, "{lengths:?} got to the origin");
            }
        }
    }
}

#[tokio::test]
async fn a_length_that_is_no_number() {
    for length in ["+5", "-1", "5 5", "0x5", "5a", "", "99999999999999999999"] {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length";
        refused(400, format!("{head}: {length}\r\n\r\nhello")).await;
    }
}

#[tokio::test]
async fn two_different_lengths() {
    for lengths in ["5\r\ncontent-length: 6", "5, 6"] {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length";
        not_served(format!("{head}: {lengths}\r\n\r\nhello!")).await;
    }
}

#[tokio::test]
async fn chunks_that_are_malformed() {
    for chunks in [
        "xyz\r\nhello\r\n0\r\n\r\n",
        "-1\r\n",
        "fffffffffffffffff\r\nx",
        "5\r\nhelloXX0\r\n\r\n",
    ] {
        let origin = Origin::echo().await;
        let proxy = Proxy::start(&route_to(&origin)).await;
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = proxy.raw(format!("{head}{chunks}")).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 400 "),
            "{chunks:?}: {answer:?}"
        );
        assert!(origin.seen().is_empty(), "{chunks:?}");
    }
}

#[tokio::test]
async fn encoding_and_length_together_end_the_connection() {
    let (origin, _proxy, mut wire) = served(
        "POST /first HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
    )
    .await;
    assert!(wire.rest().await.is_empty());
    let seen = origin.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].body, "hello", "the encoding counts (RFC 9112 §6.3)");
    assert!(
        seen[0].header("content-length").is_empty()
            || seen[0].header("transfer-encoding").is_empty()
    );
}

#[tokio::test]
async fn a_second_request_in_the_same_packet_is_not_half_served() {
    let (origin, _proxy, mut wire) =
        served("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // Either it is served too, or the connection ends so that the client sends it again.
    let rest = wire.rest().await;
    let answers = rest
        .windows(9)
        .filter(|bytes| bytes == b"HTTP/1.1 ")
        .count();
    assert_eq!(origin.seen().len(), 1 + answers);
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
