//! Clients that leave before the upstream has said whether there is a tunnel.

use tokio::io::AsyncReadExt;

use super::extended_connect::{asking, connect};
use crate::harness::websocket::ASKS;
use crate::harness::{Origin, Proxy, route_to};

const OPEN: &str = r#"tidegate_connections{listener="web"}"#;

/// An origin that never answers, and a proxy before it.
async fn silent() -> (Origin, Proxy) {
    let origin = Origin::raw(|mut stream| async move {
        while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {}
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    (origin, proxy)
}

#[tokio::test]
async fn http_1() {
    let (origin, proxy) = silent().await;
    let mut wires = Vec::new();
    for _ in 0..20 {
        let mut wire = proxy.wire().await;
        wire.send(format!("GET /ws HTTP/1.1\r\n{ASKS}\r\n")).await;
        wires.push(wire);
    }
    origin.has_accepted(20).await;
    proxy.metric_becomes(OPEN, 20.0).await;
    drop(wires);
    origin.is_left().await;
    proxy.metric_becomes(OPEN, 0.0).await;
}

#[tokio::test]
async fn http_2() {
    let (origin, proxy) = silent().await;
    let client = connect(&proxy).await;
    let mut another = client.clone();
    let (response, sender) = another
        .send_request(asking("websocket", &[]), false)
        .unwrap();
    origin.has_accepted(1).await;
    drop((response, sender));
    origin.is_left().await;
    assert!(client.ready().await.is_ok(), "the connection goes on");
}
