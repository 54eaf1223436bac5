//! The limits of `[limits]` on connections.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::harness::{ECHO, Origin, Proxy, Wire, route_to, until};

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn limited(limits: &str) -> Proxy {
    Proxy::start(&format!("[limits]\n{limits}\n{ECHO}")).await
}

/// One connection was cut, for this reason.
async fn has_cut(proxy: &Proxy, reason: &str) {
    let series = format!("tidegate_connections_cut_total{{listener=\"web\",reason=\"{reason}\"}}");
    proxy.metric_becomes(&series, 1.0).await;
}

#[tokio::test]
async fn idle_timeout() {
    let proxy = limited("idle_timeout = \"1s\"").await;
    let mut wire = proxy.wire().await;
    wire.send(REQUEST).await;
    assert_eq!(wire.response().await.status, 200);
    let start = Instant::now();
    assert!(wire.rest().await.is_empty());
    let took = start.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(8)).contains(&took),
        "{took:?}"
    );
}

/// Empty lines are no beginning of a request (RFC 9112 §2.2): neither do they hold a connection, nor is their time a
/// head's.
#[tokio::test]
async fn idle_timeout_with_empty_lines() {
    for lines in ["\r", "\r\n", "\r\n\r\n\r"] {
        let proxy = limited("idle_timeout = \"1s\"\nheader_timeout = \"1s\"").await;
        let mut wire = proxy.wire().await;
        wire.send(REQUEST).await;
        assert_eq!(wire.response().await.status, 200);
        wire.send(lines).await;
        assert!(wire.rest().await.is_empty(), "{lines:?}");
        has_cut(&proxy, "idle").await;
        let mut wire = proxy.wire().await;
        for _ in 0..2 {
            wire.send(format!("\r\n\r\n{REQUEST}")).await;
            assert_eq!(wire.response().await.status, 200);
        }
    }
}

#[tokio::test]
async fn requests_per_connection() {
    let proxy = limited("requests_per_connection = 3").await;
    let mut wire = proxy.wire().await;
    for turn in 1..=3 {
        wire.send(REQUEST).await;
        let response = wire.response().await;
        assert_eq!(response.status, 200);
        let closes = response.header("connection") == "close";
        assert_eq!(closes, turn == 3, "request {turn}");
    }
    assert!(wire.rest().await.is_empty());
    has_cut(&proxy, "requests-per-connection").await;
}

#[tokio::test]
async fn linger_timeout() {
    let proxy = limited("linger_timeout = \"200ms\"").await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    assert_eq!(wire.response().await.status, 200);
    has_cut(&proxy, "linger").await;
}

#[tokio::test]
async fn linger_bytes() {
    let proxy = limited("linger_timeout = \"1h\"\nlinger_bytes = \"4KiB\"").await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    assert_eq!(wire.response().await.status, 200);
    wire.send([b'x'; 4096]).await;
    has_cut(&proxy, "linger").await;
}

#[tokio::test]
async fn pipelined_bytes() {
    let (origin, _gate) = Origin::held().await;
    for (bytes, all_is_read) in [("1KiB", false), ("128KiB", true)] {
        let limits = format!("[limits]\npipelined_bytes = \"{bytes}\"\n");
        let proxy = Proxy::start(&format!("{limits}{}", route_to(&origin))).await;
        let mut wire = proxy.wire().await;
        wire.send(REQUEST).await;
        origin.has_seen(1).await;
        origin.forget();
        wire.send(REQUEST.repeat(2000)).await;
        let sent = REQUEST.len() * 2000;
        until("what is not read", async || {
            let left = unread_by_the_system(proxy.address());
            let is_held_back = (sent - (16 << 10)..sent).contains(&left);
            (is_held_back != all_is_read && (left == 0) == all_is_read).then_some(())
        })
        .await;
    }
}

/// Bytes that came to this address, and that the program has not read.
fn unread_by_the_system(address: &str) -> usize {
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let local = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let queues = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_ours = fields[1].ends_with(&local) && fields[3] == "01";
        let (_, read) = fields[4].split_once(':').filter(|_| is_ours)?;
        usize::from_str_radix(read, 16).ok()
    });
    queues.sum()
}

#[tokio::test]
async fn connections() {
    let proxy = limited("connections = 2").await;
    let mut first = proxy.wire().await;
    let mut second = proxy.wire().await;
    for wire in [&mut first, &mut second] {
        wire.send(REQUEST).await;
        assert_eq!(wire.response().await.status, 200);
    }
    assert!(
        proxy.raw(REQUEST).await.is_empty(),
        "the third is closed at once"
    );
    proxy
        .metric_becomes(
            r#"tidegate_connections_refused_total{listener="web",reason="connections"}"#,
            1.0,
        )
        .await;
    assert_eq!(
        proxy
            .metric(r#"tidegate_connections{listener="web"}"#)
            .await,
        2.0
    );
    drop(first);
    until("the place of the first", async || {
        let answer = proxy.raw("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
        answer.starts_with(b"HTTP/1").then_some(())
    })
    .await;
    second.send(REQUEST).await;
    assert_eq!(second.response().await.status, 200);
}

#[tokio::test]
async fn connections_per_address() {
    let proxy = limited("connections_per_address = 1").await;
    let mut first = proxy.wire().await;
    first.send(REQUEST).await;
    assert_eq!(first.response().await.status, 200);
    assert!(proxy.raw(REQUEST).await.is_empty());
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let mut other = Wire::connect_from(other, proxy.address()).await;
    other.send(REQUEST).await;
    assert_eq!(other.response().await.status, 200);
    proxy
        .metric_becomes(
            r#"tidegate_connections_refused_total{listener="web",reason="per-address"}"#,
            1.0,
        )
        .await;
}

#[tokio::test]
async fn h2_streams() {
    let (origin, gate) = Origin::held().await;
    let config = format!("[limits]\nh2_streams = 2\n{}", route_to(&origin));
    let proxy = Proxy::start(&config).await;
    let mut client = proxy.h2_client().await;
    // The client knows the limit with the first response at the latest.
    gate.add_permits(1);
    assert_eq!(client.get("/first").await.status, 200);
    let requests: Vec<_> = (0..4)
        .map(|_| {
            let mut client = client.another();
            tokio::spawn(async move { client.get("/").await.status })
        })
        .collect();
    origin.has_seen(3).await;
    gate.add_permits(1);
    origin.has_seen(4).await;
    assert_eq!(origin.seen().len(), 4, "one came for the one that went");
    gate.add_permits(3);
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
}
