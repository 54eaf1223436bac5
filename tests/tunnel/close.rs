//! How tunnels end: each side for itself, and both when one breaks.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::websocket::{Tunnel, echoing, switching};
use crate::harness::{Proxy, route_to};

#[tokio::test]
async fn the_client_may_end_first_and_still_read() {
    let origin = switching(|mut stream, _| async move {
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        stream.write_all(b"seen ").await.unwrap();
        stream.write_all(all.as_bytes()).await.unwrap();
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    tunnel.send("all of it").await;
    tunnel.finish().await;
    assert_eq!(tunnel.rest().await.unwrap(), "seen all of it");
}

#[tokio::test]
async fn the_origin_may_end_first_and_still_read() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let origin = switching(move |mut stream, _| {
        let told = told.clone();
        async move {
            stream.write_all(b"bye").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut all = String::new();
            stream.read_to_string(&mut all).await.unwrap();
            told.send(all).unwrap();
        }
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    assert_eq!(tunnel.rest().await.unwrap(), "bye");
    tunnel.send("something more").await;
    tunnel.finish().await;
    assert_eq!(heard.recv().await.unwrap(), "something more");
}

#[tokio::test]
async fn a_connection_that_breaks_breaks_the_other() {
    let origin = switching(|mut stream, _| async move {
        stream.read_u8().await.unwrap();
        stream.set_zero_linger().unwrap();
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    tunnel.send("x").await;
    let broken = tunnel.rest().await.unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::ConnectionReset);
    let line = proxy.access_line("/ws").await;
    assert_eq!(line.field("error").unwrap(), "upstream: the tunnel broke");
}

#[tokio::test]
async fn a_client_that_breaks_off_breaks_the_origin_s() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let origin = switching(move |mut stream, _| {
        let told = told.clone();
        async move {
            stream.write_all(b"x").await.unwrap();
            let broken = stream.read_u8().await.unwrap_err();
            told.send(broken.kind()).unwrap();
        }
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    tunnel.receive(1).await;
    tunnel.stream.set_zero_linger().unwrap();
    drop(tunnel);
    assert_eq!(heard.recv().await.unwrap(), ErrorKind::ConnectionReset);
    let line = proxy.access_line("/ws").await;
    assert_eq!(line.field("error").unwrap(), "client: the tunnel broke");
}

#[tokio::test]
async fn its_end_is_written_down_and_counted() {
    let origin = echoing().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    tunnel.echoes("hello").await;
    let open = r#"tidegate_tunnels{route="all"}"#;
    proxy.metric_becomes(open, 1.0).await;
    for direction in ["received", "sent"] {
        let bytes = format!("tidegate_tunnel_bytes_total{{route=\"all\",direction={direction:?}}}");
        // While it is open.
        proxy.metric_becomes(&bytes, 5.0).await;
    }
    tunnel.echoes("and more").await;
    tunnel.finish().await;
    assert_eq!(tunnel.rest().await.unwrap(), "");
    let line = proxy.access_line("/ws").await;
    for (name, value) in [("status", "101"), ("bytes", "13"), ("method", "GET")] {
        assert_eq!(line.field(name).as_deref(), Some(value), "{}", line.text);
    }
    assert_eq!(line.field("error"), None);
    proxy.metric_becomes(open, 0.0).await;
    let counted = r#"tidegate_requests_total{route="all",status="1xx"}"#;
    assert_eq!(proxy.metric(counted).await, 1.0);
}
