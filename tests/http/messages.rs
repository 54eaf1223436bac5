//! Methods, bodies and statuses pass through unchanged.

use bytes::Bytes;
use http_body_util::Full;

use crate::harness::{Origin, Proxy, get, post, request, route_to, streamed, with_header};

/// 1 MiB that no mistake in the order of pieces leaves as it is.
fn large_body() -> Bytes {
    (0..1 << 20)
        .map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[tokio::test]
async fn every_method_arrives_with_its_body() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.client().await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let response = client.send(request(method, "/x?y=1", "hello")).await;
        assert_eq!(
            (response.status, response.text()),
            (200, "hello"),
            "{method}"
        );
    }
    for method in ["GET", "OPTIONS"] {
        let response = client.send(request(method, "/x?y=1", "")).await;
        assert_eq!((response.status, response.text()), (200, ""), "{method}");
    }
    let methods: Vec<_> = origin
        .seen()
        .iter()
        .map(|seen| seen.method.to_string())
        .collect();
    assert_eq!(
        methods,
        ["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS"]
    );
    assert!(origin.seen().iter().all(|seen| seen.target == "/x?y=1"));
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let origin = Origin::answering(|_| http::Response::new(Full::from("12345"))).await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send("HEAD /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = wire.response_to_head().await;
    assert_eq!((head.status, head.header("content-length")), (200, "5"));
    wire.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(
        wire.response().await.text(),
        "12345",
        "the framing is right"
    );
    assert_eq!(origin.seen()[0].method, "HEAD");
}

#[tokio::test]
async fn a_large_body_of_known_length_passes_both_ways() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let response = proxy.send(post("/", large_body())).await;
    assert_eq!(response.header("content-length"), "1048576");
    assert!(response.body == large_body());
    assert_eq!(origin.seen()[0].header("content-length"), "1048576");
}

#[tokio::test]
async fn a_large_body_in_chunks_passes_both_ways() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let body = large_body();
    let chunks = body.chunks(10_000).map(Bytes::copy_from_slice);
    let response = proxy.send(streamed("/", chunks.collect())).await;
    assert!(response.body == large_body());
    assert_eq!(origin.seen()[0].header("transfer-encoding"), "chunked");
}

#[tokio::test]
async fn chunked_responses_arrive_as_they_are() {
    let origin = Origin::raw(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut head = [0; 4096];
        while matches!(stream.read(&mut head).await, Ok(1..)) {
            let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                3;name=value\r\nabc\r\n2\r\nde\r\n0\r\nx-trailer: 1\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.text(), "abcde");
    }
}

#[tokio::test]
async fn responses_that_have_no_body_leave_the_connection_usable() {
    let origin = Origin::answering(|seen| {
        let status = match seen.target.as_str() {
            "/204" => 204,
            "/304" => 304,
            _ => 200,
        };
        let answer = http::Response::builder().status(status);
        answer
            .header("etag", "\"1\"")
            .body(Full::default())
            .unwrap()
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.client().await;
    for (path, status) in [("/204", 204), ("/304", 304), ("/", 200), ("/204", 204)] {
        let response = client.get(path).await;
        assert_eq!((response.status, response.text()), (status, ""), "{path}");
        assert_eq!(response.header("etag"), "\"1\"", "{path}");
    }
}

#[tokio::test]
async fn the_origins_status_and_fields_arrive() {
    let origin = Origin::answering(|_| {
        let answer = http::Response::builder().status(418);
        let answer = answer
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2");
        answer
            .header("server", "teapot")
            .body(Full::from("short"))
            .unwrap()
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let response = proxy.get("/").await;
    assert_eq!((response.status, response.text()), (418, "short"));
    assert_eq!(response.header("server"), "teapot");
    let cookies: Vec<_> = response.headers.get_all("set-cookie").iter().collect();
    assert_eq!(
        cookies,
        ["a=1", "b=2"],
        "repeated fields stay apart, in their order"
    );
}

#[tokio::test]
async fn the_clients_fields_arrive() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let request = with_header(get("/"), "x-two", "1");
    let request = with_header(request, "x-two", "2");
    let request = with_header(request, "host", "www.example.com:8080");
    proxy.send(request).await;
    let seen = &origin.seen()[0];
    assert_eq!(seen.header("x-two"), "1, 2");
    assert_eq!(seen.header("host"), "www.example.com:8080");
}

#[tokio::test]
async fn header_values_beyond_ascii_pass_both_ways() {
    let origin = Origin::answering(|seen| {
        let value = seen.headers["x-name"].clone();
        let answer = http::Response::builder().header("x-name", value);
        answer.body(Full::default()).unwrap()
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send(b"GET / HTTP/1.1\r\nhost: a\r\nx-name: \xe9\xff\r\n\r\n")
        .await;
    let response = wire.response().await;
    assert_eq!(response.headers["x-name"].as_bytes(), b"\xe9\xff");
}
