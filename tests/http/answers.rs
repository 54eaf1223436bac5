//! Answers that the proxy gives itself: `respond`, `redirect` and the echo.

use http::Version;
use serde_json::json;

use crate::harness::{ECHO, Proxy, get, post, request, with_header};

#[tokio::test]
async fn respond_gives_status_fields_and_body() {
    let config = r#"
[[route]]
[route.respond]
status = 451
body = "gone for good\n"
headers = { content-type = "text/plain", x-why = "law" }
"#;
    let proxy = Proxy::start(config).await;
    for mut client in [proxy.client().await, proxy.h2_client().await] {
        for _ in 0..2 {
            let response = client.get("/").await;
            assert_eq!((response.status, response.text()), (451, "gone for good\n"));
            assert_eq!(response.header("content-type"), "text/plain");
            assert_eq!(response.header("x-why"), "law");
            assert_eq!(response.header("content-length"), "14");
            assert!(!response.header("date").is_empty());
        }
    }
}

#[tokio::test]
async fn head_gets_the_fields_alone() {
    let proxy = Proxy::start("[[route]]\nrespond = { body = \"12345\" }").await;
    let mut wire = proxy.wire().await;
    for _ in 0..2 {
        wire.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let head = wire.response_to_head().await;
        assert_eq!((head.status, head.header("content-length")), (200, "5"));
    }
}

#[tokio::test]
async fn an_empty_answer_keeps_the_connection() {
    let config = r#"
[[route]]
match = { path = "/204" }
respond = { status = 204 }

[[route]]
respond = {}
"#;
    let proxy = Proxy::start(config).await;
    let mut wire = proxy.wire().await;
    for (path, status) in [("/204", 204), ("/", 200), ("/204", 204), ("/", 200)] {
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await;
        let response = wire.response().await;
        assert_eq!((response.status, response.text()), (status, ""));
    }
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_taken_for_a_request() {
    let proxy = Proxy::start("[[route]]\nrespond = { body = \"fixed\" }").await;
    let body = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let length = body.len();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n");
    let last = "GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut wire = proxy.wire().await;
    wire.send(format!("{head}\r\n{body}{last}")).await;
    assert_eq!(wire.response().await.text(), "fixed");
    wire.rest().await;
    proxy
        .metric_becomes(r#"tidegate_connections{listener="web"}"#, 0.0)
        .await;
    assert!(!proxy.written().contains("/smuggled"));
}

#[tokio::test]
async fn an_answer_reaches_a_client_that_is_still_sending() {
    let config = r#"
[limits]
body_bytes = "3MiB"

[[route]]
name = "fixed"
match = { path = "/fixed" }
respond = { status = 403, body = "no" }
"#;
    let proxy = Proxy::start(config).await;
    for (path, length, status) in [
        ("/fixed", 2 << 20, 403),
        ("/nowhere", 2 << 20, 404),
        ("/fixed", 4 << 20, 413),
    ] {
        for _ in 0..5 {
            let mut wire = proxy.wire().await;
            let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n");
            wire.send(format!("{head}\r\n{}", "x".repeat(length))).await;
            assert_eq!(wire.response().await.status, status, "{path} {length}");
        }
    }
}

#[tokio::test]
async fn redirect_sends_elsewhere() {
    let config = r#"
[[route]]
match = { path = "/old" }
redirect = { to = "https://www.example.com/new?a=b" }

[[route]]
match = { path = "/found" }
redirect = { to = "/here", status = 302 }
"#;
    let proxy = Proxy::start(config).await;
    let mut client = proxy.client().await;
    for (path, status, to) in [
        ("/old", 308, "https://www.example.com/new?a=b"),
        ("/found", 302, "/here"),
    ] {
        let response = client.get(path).await;
        assert_eq!(response.status, status);
        assert_eq!(response.header("location"), to);
    }
}

#[tokio::test]
async fn the_echo_says_what_came() {
    let proxy = Proxy::start(ECHO).await;
    let request = with_header(post("/a//b?c=d&e", "hello"), "x-two", "1");
    let request = with_header(request, "x-two", "2");
    let response = proxy
        .send(with_header(request, "host", "www.example.com"))
        .await;
    assert_eq!(response.header("content-type"), "application/json");
    let echo = response.json();
    assert_eq!(echo["method"], "POST");
    assert_eq!(echo["path"], "/a/b");
    assert_eq!(echo["query"], "c=d&e");
    assert_eq!(echo["host"], "www.example.com");
    assert_eq!(echo["version"], "HTTP/1.1");
    assert_eq!(echo["headers"]["x-two"], json!(["1", "2"]));
    assert_eq!(echo["body"], "hello");
    assert_eq!(echo["body_bytes"], 5);
}

#[tokio::test]
async fn the_echo_of_a_large_body_is_bounded() {
    let proxy = Proxy::start(ECHO).await;
    let mut client = proxy.client().await;
    for _ in 0..2 {
        let response = client.send(post("/", vec![b'x'; 1 << 20])).await;
        assert_eq!(response.json()["body_bytes"], 1 << 20);
        assert!(
            response.body.len() < 1 << 18,
            "{} bytes",
            response.body.len()
        );
    }
}

#[tokio::test]
async fn the_echo_takes_bodies_that_are_no_text() {
    let proxy = Proxy::start(ECHO).await;
    let response = proxy.send(request("PUT", "/", &b"\xff\x00\xfe"[..])).await;
    assert_eq!(response.json()["body_bytes"], 3);
    assert_eq!(response.version, Version::HTTP_11);
    assert_eq!(proxy.send(get("/")).await.json()["body_bytes"], 0);
}
