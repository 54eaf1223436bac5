//! Tunnels in which nothing happens.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::websocket::{Tunnel, echoing, switching};
use crate::harness::{Proxy, TWO_THREADS};

use super::limited;

#[tokio::test]
async fn silence_beyond_all_other_timeouts_is_no_end() {
    let origin = echoing().await;
    let limits = "idle_timeout = \"1s\"\nread_timeout = \"1s\"\nwrite_timeout = \"1s\"\nheader_timeout = \"1s\"";
    let config = limited(&origin, limits)
        + "timeout = { read = \"1s\", write = \"1s\", connect = \"1s\" }\n";
    let proxy = Proxy::start(&config).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    tunnel.echoes("before").await;
    // It is about time that passes.
    tokio::time::sleep(Duration::from_secs(3)).await;
    tunnel.echoes("after").await;
}

#[tokio::test]
async fn a_tunnel_that_is_silent_for_too_long_is_closed() {
    let origin = echoing().await;
    let proxy = Proxy::start(&limited(&origin, "tunnel_idle_timeout = \"200ms\"")).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    tunnel.echoes("hello").await;
    assert_eq!(tunnel.rest().await.unwrap(), "");
    let line = proxy.access_line("/ws").await;
    assert_eq!(line.field("error").unwrap(), "proxy: the tunnel was idle");
    let cut = r#"tidegate_connections_cut_total{reason="tunnel-idle"}"#;
    proxy.metric_becomes(cut, 1.0).await;
    origin.is_left().await;
}

/// Chromium does so over HTTP/2, where the stream would count as open.
#[tokio::test]
async fn a_client_that_does_not_end_after_its_upstream_is_not_waited_for() {
    let origin = switching(|mut stream, _| async move {
        stream.write_all(b"bye").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let proxy = Proxy::start(&limited(&origin, "tunnel_close_timeout = \"200ms\"")).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    assert_eq!(tunnel.rest().await.unwrap(), "bye");
    origin.is_left().await;
    // It is how such tunnels end, and no error.
    assert_eq!(proxy.access_line("/ws").await.field("error"), None);
}

/// Both ends' sockets, and what the proxy holds besides; an upstream and a client each have one as well.
#[tokio::test]
async fn an_idle_tunnel_needs_little_memory() {
    let origin = echoing().await;
    let limits = limited(&origin, "connections_per_address = 5000");
    let proxy = Proxy::start(&format!("{TWO_THREADS}{limits}")).await;
    let mut warm = Vec::new();
    for _ in 0..100 {
        let mut tunnel = Tunnel::open(proxy.address()).await;
        tunnel.echoes(&"x".repeat(10_000)).await;
        warm.push(tunnel);
    }
    let before = proxy.resident_bytes();
    let count = 1000;
    let mut tunnels = Vec::new();
    for _ in 0..count {
        let mut tunnel = Tunnel::open(proxy.address()).await;
        tunnel.echoes(&"x".repeat(10_000)).await;
        tunnels.push(tunnel);
    }
    let each = proxy.resident_bytes().saturating_sub(before) / count;
    assert!(each < 48 * 1024, "{each} bytes for each tunnel");
}
