//! Each size and time of `[limits]` that concerns a request. `connections.rs` has those of connections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, channel::Channel};

use crate::harness::{ECHO, Origin, Proxy, get, post, route_to, soon, streamed, with_header};

/// Far above what the tests set, far below what the defaults are.
const FAR_TOO_LONG: Duration = Duration::from_secs(8);

async fn limited(limits: &str) -> (Origin, Proxy) {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&format!("[limits]\n{limits}\n{}", route_to(&origin))).await;
    (origin, proxy)
}

#[tokio::test]
async fn header_bytes() {
    let (origin, proxy) = limited("header_bytes = \"2KiB\"").await;
    let of_size = |bytes| with_header(get("/"), "x-large", &"x".repeat(bytes));
    assert_eq!(proxy.send(of_size(1500)).await.status, 200);
    assert_eq!(proxy.send(of_size(2100)).await.status, 431);
    assert_eq!(
        proxy.h2_client().await.send(of_size(1500)).await.status,
        200
    );
    assert_eq!(
        proxy.h2_client().await.send(of_size(2100)).await.status,
        431
    );
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn many_small_fields_count_as_much_as_a_large_one() {
    let (origin, proxy) = limited("header_bytes = \"2KiB\"").await;
    let fields = "x-some-name: and a value\r\n".repeat(90);
    let mut wire = proxy.wire().await;
    wire.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
        .await;
    assert_eq!(wire.response().await.status, 431);
    assert!(origin.seen().is_empty());
}

/// As many as can be allowed get through, in both protocols.
#[tokio::test]
async fn the_most_header_fields() {
    // Not to an origin: those of tests take a hundred.
    let proxy = Proxy::start(&format!("[limits]\nheader_count = 256\n{ECHO}")).await;
    // With the host.
    let fields = |count: usize| {
        (1..count).fold(get("/"), |request, number| {
            let name = format!("x-{number}");
            let mut request = request;
            let headers = request.headers_mut();
            headers.insert(
                http::HeaderName::try_from(name).unwrap(),
                "y".parse().unwrap(),
            );
            request
        })
    };
    assert_eq!(proxy.send(fields(256)).await.status, 200);
    assert_eq!(proxy.send(fields(257)).await.status, 431);
    let mut h2 = proxy.h2_client().await;
    assert_eq!(h2.send(fields(256)).await.status, 200);
    assert_eq!(h2.send(fields(257)).await.status, 431);
}

#[tokio::test]
async fn header_count() {
    let (origin, proxy) = limited("header_count = 10").await;
    let head = |fields: usize| {
        let fields = "x: y\r\n".repeat(fields - 1);
        format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")
    };
    let mut wire = proxy.wire().await;
    wire.send(head(10)).await;
    assert_eq!(wire.response().await.status, 200);
    let mut wire = proxy.wire().await;
    wire.send(head(11)).await;
    assert_eq!(wire.response().await.status, 431);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn uri_bytes() {
    let (origin, proxy) = limited("uri_bytes = 100").await;
    for (request, status) in [
        (get(&format!("/{}", "p".repeat(99))), 200),
        (get(&format!("/{}", "p".repeat(100))), 414),
        (get(&format!("/?{}", "q".repeat(98))), 200),
        (get(&format!("/?{}", "q".repeat(99))), 414),
    ] {
        let target = request.uri().to_string();
        assert_eq!(proxy.send(request).await.status, status, "{target}");
    }
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn body_bytes_of_known_length() {
    let (origin, proxy) = limited("body_bytes = \"1KiB\"").await;
    assert_eq!(proxy.send(post("/", vec![b'x'; 1024])).await.status, 200);
    // Refused by its length alone: nothing of the body is sent.
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1025\r\n\r\n")
        .await;
    assert_eq!(wire.response().await.status, 413);
    let response = proxy
        .h2_client()
        .await
        .send(post("/", vec![b'x'; 1025]))
        .await;
    assert_eq!(response.status, 413);
    assert_eq!(origin.seen().len(), 1);
    assert_eq!(
        origin.accepted(),
        1,
        "no connection was opened for a body that is refused"
    );
}

#[tokio::test]
async fn body_bytes_in_chunks() {
    let (origin, proxy) = limited("body_bytes = \"1KiB\"").await;
    let chunk = || Bytes::from_static(&[b'x'; 512]);
    let response = proxy.send(streamed("/", vec![chunk(), chunk()])).await;
    assert_eq!((response.status, response.body.len()), (200, 1024));
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    wire.send(format!("401\r\n{}\r\n0\r\n\r\n", "x".repeat(0x401)))
        .await;
    assert_eq!(wire.response().await.status, 413);
    let request = streamed("/", vec![chunk(), chunk(), chunk()]);
    assert_eq!(proxy.h2_client().await.send(request).await.status, 413);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn body_bytes_hold_for_answers_of_the_proxy_too() {
    let proxy = Proxy::start(&format!("[limits]\nbody_bytes = \"1KiB\"\n{ECHO}")).await;
    assert_eq!(proxy.send(post("/", vec![b'x'; 1024])).await.status, 200);
    assert_eq!(proxy.send(post("/", vec![b'x'; 1025])).await.status, 413);
    let chunks = vec![Bytes::from_static(&[b'x'; 512]); 3];
    assert_eq!(proxy.send(streamed("/", chunks)).await.status, 413);
}

#[tokio::test]
async fn header_timeout_of_a_client_that_drips() {
    let (_origin, proxy) = limited("header_timeout = \"500ms\"").await;
    let mut wire = proxy.wire().await;
    let start = Instant::now();
    wire.send("GET / HTTP/1.1\r\nhost: a\r\nx: ").await;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let drip = async {
        loop {
            tick.tick().await;
            wire.send("y").await;
            if wire.is_closed().await {
                return;
            }
        }
    };
    soon("the slow client to be cut off", drip).await;
    assert!((Duration::from_millis(450)..FAR_TOO_LONG).contains(&start.elapsed()));
    assert_eq!(proxy.get("/").await.status, 200);
}

#[tokio::test]
async fn header_timeout_of_a_client_that_says_nothing() {
    let (_origin, proxy) = limited("header_timeout = \"300ms\"").await;
    let start = Instant::now();
    proxy.wire().await.rest().await;
    assert!((Duration::from_millis(250)..FAR_TOO_LONG).contains(&start.elapsed()));
}

#[tokio::test]
async fn header_timeout_of_a_second_head() {
    let (_origin, proxy) = limited("header_timeout = \"500ms\"").await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(wire.response().await.status, 200);
    let start = Instant::now();
    wire.send("GET / HTT").await;
    let rest = wire.rest().await;
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
    assert!(start.elapsed() < FAR_TOO_LONG);
}

#[tokio::test]
async fn header_timeout_does_not_count_the_request_itself() {
    let (origin, gate) = Origin::held().await;
    let config = format!(
        "[limits]\nheader_timeout = \"200ms\"\n{}",
        route_to(&origin)
    );
    let proxy = Proxy::start(&config).await;
    let mut wire = proxy.wire().await;
    for _ in 0..2 {
        wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n")
            .await;
        let mut tick = tokio::time::interval(Duration::from_millis(300));
        tick.tick().await;
        tick.tick().await;
        wire.send("hi").await;
        tick.tick().await;
        gate.add_permits(1);
        assert_eq!(wire.response().await.text(), "late");
    }
}

#[tokio::test]
async fn read_timeout() {
    let (_origin, proxy) = limited("read_timeout = \"300ms\"").await;
    let mut wire = proxy.wire().await;
    let start = Instant::now();
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    let response = wire.response().await;
    assert_eq!(response.status, 408);
    wire.rest().await;
    assert!((Duration::from_millis(250)..FAR_TOO_LONG).contains(&start.elapsed()));
}

#[tokio::test]
async fn read_timeout_in_http_2() {
    let (origin, proxy) = limited("read_timeout = \"300ms\"").await;
    let (_unfinished, body) = Channel::<Bytes, std::convert::Infallible>::new(1);
    let mut request = http::Request::new(body.boxed());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = "/".parse().unwrap();
    let start = Instant::now();
    let response = proxy.h2_client().await.try_send(request).await;
    assert!(
        !matches!(&response, Ok(response) if response.status == 200),
        "{response:?}"
    );
    assert!(start.elapsed() < FAR_TOO_LONG);
    origin.is_left().await;
}

#[tokio::test]
async fn write_timeout() {
    let origin = Origin::raw(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let piece = vec![b'x'; 1 << 16];
        while stream.write_all(&piece).await.is_ok() {}
    })
    .await;
    let config = format!("[limits]\nwrite_timeout = \"500ms\"\n{}", route_to(&origin));
    let proxy = Proxy::start(&config).await;
    let mut wire = proxy.wire().await;
    let start = Instant::now();
    // And reads nothing.
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    origin.is_left().await;
    assert!(start.elapsed() < FAR_TOO_LONG);
    proxy
        .metric_becomes(r#"tidegate_connections{listener="web"}"#, 0.0)
        .await;
}
