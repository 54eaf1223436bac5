//! Clients that leave before the end.

use tokio::io::AsyncReadExt;

use crate::harness::{ECHO, Origin, Proxy, route_to};

const OPEN: &str = r#"tidegate_connections{listener="web"}"#;

#[tokio::test]
async fn the_origin_is_told_when_a_client_leaves() {
    let (origin, _gate) = Origin::held().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    origin.has_seen(1).await;
    drop(wire);
    proxy.metric_becomes(OPEN, 0.0).await;
    origin.is_left().await;
    assert!(proxy.access_line("/slow").await.field("status").is_some());
}

#[tokio::test]
async fn half_an_upload_does_not_arrive_as_a_whole() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let mut wire = proxy.wire().await;
        wire.send(format!(
            "POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n5\r\nhello\r\n"
        ))
        .await;
        drop(wire);
    }
    proxy
        .metric_becomes(r#"tidegate_connections_total{listener="web"}"#, 2.0)
        .await;
    proxy.metric_becomes(OPEN, 0.0).await;
    assert_eq!(proxy.get("/next").await.status, 200);
    let targets: Vec<_> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/next"]);
}

#[tokio::test]
async fn a_download_that_is_left_stops_the_origin() {
    let origin = Origin::raw(|mut stream| async move {
        use tokio::io::AsyncWriteExt;
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let piece = vec![b'x'; 1 << 16];
        while stream.write_all(&piece).await.is_ok() {}
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    wire.first_byte().await;
    drop(wire);
    origin.is_left().await;
    proxy.metric_becomes(OPEN, 0.0).await;
}

#[tokio::test]
async fn connections_without_a_request_leave_nothing_behind() {
    let proxy = Proxy::start(ECHO).await;
    for bytes in [
        "",
        "G",
        "GET / HTTP/1.1\r\nhost: a",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut wire = proxy.wire().await;
        wire.send(bytes).await;
    }
    proxy
        .metric_becomes(r#"tidegate_connections_total{listener="web"}"#, 4.0)
        .await;
    proxy.metric_becomes(OPEN, 0.0).await;
    assert_eq!(proxy.get("/").await.status, 200);
}

#[tokio::test]
async fn a_cancelled_stream_leaves_the_others_alone() {
    let (origin, gate) = Origin::held().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.h2_client().await;
    let mut another = client.another();
    let cancelled = tokio::spawn(async move { another.get("/cancelled").await });
    origin.has_seen(1).await;
    cancelled.abort();
    assert!(cancelled.await.is_err());
    gate.add_permits(2);
    assert_eq!(client.get("/kept").await.text(), "late");
}
