//! Upstreams that are slow.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Origin, Proxy, Wire, black_hole, get, upstream};

/// Longer than this took the proxy its own time, not the one that the test has set.
const FAR_TOO_LONG: Duration = Duration::from_secs(10);

/// More than the buffers between hold, for as long as it is taken.
async fn send_much(wire: &mut Wire) {
    let sending = async {
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..40 {
            wire.send(&piece).await;
        }
    };
    let _ = tokio::time::timeout(FAR_TOO_LONG, sending).await;
}

#[tokio::test]
async fn connecting_takes_no_longer_than_it_may() {
    let (address, _queue) = black_hole().await;
    let keys = format!("peers = [{address:?}]\nattempts = 1\ntimeout = {{ connect = \"300ms\" }}");
    let proxy = Proxy::start(&upstream(&keys)).await;
    let start = Instant::now();
    let response = proxy.get("/").await;
    assert_eq!(response.status, 504);
    assert!((Duration::from_millis(250)..FAR_TOO_LONG).contains(&start.elapsed()));
}

#[tokio::test]
async fn a_peer_that_does_not_answer_the_connection_is_passed_over() {
    let (address, _queue) = black_hole().await;
    let alive = Origin::echo().await;
    let keys = format!(
        "peers = [{address:?}, {:?}]\ntimeout = {{ connect = \"200ms\" }}",
        alive.address()
    );
    let proxy = Proxy::start(&upstream(&keys)).await;
    for _ in 0..4 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn a_response_takes_no_longer_than_it_may() {
    let (origin, _gate) = Origin::held().await;
    let keys = format!(
        "peers = [{:?}]\nattempts = 1\ntimeout = {{ read = \"300ms\" }}",
        origin.address()
    );
    let proxy = Proxy::start(&upstream(&keys)).await;
    let start = Instant::now();
    let response = proxy.get("/").await;
    assert_eq!(response.status, 504);
    assert!((Duration::from_millis(250)..FAR_TOO_LONG).contains(&start.elapsed()));
    assert!((1..200).contains(&response.body.len()));
    origin.is_left().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_cut_off() {
    let origin = Origin::raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello";
        let _ = stream.write_all(head.as_bytes()).await;
        // Until the proxy leaves.
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    let keys = format!(
        "peers = [{:?}]\ntimeout = {{ read = \"300ms\" }}",
        origin.address()
    );
    let proxy = Proxy::start(&upstream(&keys)).await;
    let start = Instant::now();
    let response = proxy.client().await.try_send(get("/")).await;
    assert!(response.is_err(), "{response:?}");
    assert!(start.elapsed() < FAR_TOO_LONG);
    origin.is_left().await;
}

#[tokio::test]
async fn a_body_that_flows_may_take_longer_than_one_read() {
    let origin = Origin::raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..10 {
            tick.tick().await;
            let _ = stream.write_all(b"x").await;
        }
    })
    .await;
    let keys = format!(
        "peers = [{:?}]\ntimeout = {{ read = \"700ms\" }}",
        origin.address()
    );
    let proxy = Proxy::start(&upstream(&keys)).await;
    assert_eq!(proxy.get("/").await.text(), "xxxxxxxxxx");
}

#[tokio::test]
async fn an_upload_may_take_longer_than_its_answer() {
    let origin = Origin::echo().await;
    let keys = format!(
        "peers = [{:?}]\ntimeout = {{ read = \"300ms\" }}",
        origin.address()
    );
    let proxy = Proxy::start(&upstream(&keys)).await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n")
        .await;
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    for _ in 0..4 {
        tick.tick().await;
        wire.send("x").await;
    }
    let response = wire.response().await;
    assert_eq!((response.status, response.text()), (200, "xxxx"));
}

#[tokio::test]
async fn an_answer_is_whole_though_its_peer_does_not_read_the_rest_of_the_request() {
    let origin = Origin::raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let _ = stream.write_all(answer.as_bytes()).await;
        // Keeps the connection open, and reads nothing.
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let keys = format!(
        "peers = [{:?}]\nattempts = 1\ntimeout = {{ write = \"300ms\" }}",
        origin.address()
    );
    let proxy = Proxy::start(&upstream(&keys)).await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50000000\r\n\r\n")
        .await;
    let response = wire.response().await;
    assert_eq!((response.status, response.text()), (200, "ok"));
    // The connection ends meanwhile.
    send_much(&mut wire).await;
    let line = proxy.access_line("/").await;
    assert_eq!(line.field("status").as_deref(), Some("200"));
    assert_eq!(line.field("error"), None, "{}", line.text);
}

#[tokio::test]
async fn a_peer_that_takes_no_bytes_is_left() {
    let origin = Origin::raw(|stream| async move {
        // Reads nothing, so that the buffers between fill up.
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let keys = format!(
        "peers = [{:?}]\nattempts = 1\ntimeout = {{ write = \"300ms\", read = \"300ms\" }}",
        origin.address()
    );
    let proxy = Proxy::start(&upstream(&keys)).await;
    let mut wire = proxy.wire().await;
    let start = Instant::now();
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50000000\r\n\r\n")
        .await;
    // It may stop to take the body as soon as it gives up.
    send_much(&mut wire).await;
    let line = proxy.access_line("/").await;
    assert_eq!(
        line.field("status").as_deref(),
        Some("504"),
        "{}",
        line.text
    );
    assert!(start.elapsed() < FAR_TOO_LONG + FAR_TOO_LONG);
}
