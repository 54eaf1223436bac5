//! Reload and stop while tunnels are open.

use std::time::{Duration, Instant};

use crate::harness::websocket::{Tunnel, echoing};
use crate::harness::{ECHO, Proxy, route_to};

#[tokio::test]
async fn a_tunnel_outlives_its_route_and_its_listener() {
    let origin = echoing().await;
    let listener =
        |port: &str| format!("[[listener]]\nname = \"{port}\"\naddress = \"127.0.0.1:0\"\n");
    let proxy = Proxy::start(&format!("{}{}", listener("one"), route_to(&origin))).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    tunnel.echoes("before").await;
    proxy.reload(&format!("{}{ECHO}", listener("two"))).await;
    tunnel.echoes("after").await;
    tunnel.finish().await;
    assert_eq!(tunnel.rest().await.unwrap(), "");
    let line = proxy.access_line("/ws").await;
    assert_eq!(line.field("status").unwrap(), "101");
}

#[tokio::test]
async fn a_stop_waits_for_tunnels() {
    let origin = echoing().await;
    let config = format!("[server]\ndrain_timeout = \"1h\"\n{}", route_to(&origin));
    let mut proxy = Proxy::start(&config).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    proxy.signal("-TERM");
    proxy.has_logged("draining", 1).await;
    tunnel.echoes("still there").await;
    tunnel.finish().await;
    assert_eq!(tunnel.rest().await.unwrap(), "");
    assert_eq!(proxy.wait().await.code(), Some(0));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_longer_than_it_may() {
    let origin = echoing().await;
    let config = format!("[server]\ndrain_timeout = \"300ms\"\n{}", route_to(&origin));
    let mut proxy = Proxy::start(&config).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    tunnel.echoes("hello").await;
    let begin = Instant::now();
    proxy.signal("-TERM");
    assert_eq!(proxy.wait().await.code(), Some(0));
    assert!(begin.elapsed() >= Duration::from_millis(250));
    assert!(matches!(tunnel.rest().await.as_deref(), Ok("") | Err(_)));
    origin.is_left().await;
}
