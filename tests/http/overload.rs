//! Upstreams that get more requests than they may have.

use crate::harness::websocket::{Tunnel, echoing};
use crate::harness::{Client, Origin, Proxy, Wire, until, upstream};

const WAITING: &str = r#"tidegate_upstream_waiting{upstream="app"}"#;

fn refused(reason: &str) -> String {
    format!("tidegate_upstream_refused_total{{upstream=\"app\",reason=\"{reason}\"}}")
}

fn limited(origin: &Origin, keys: &str) -> String {
    upstream(&format!("peers = [{:?}]\n{keys}", origin.address()))
}

/// A request that is under way.
fn asks(mut client: Client) -> tokio::task::JoinHandle<u16> {
    tokio::spawn(async move { client.get("/").await.status })
}

#[tokio::test]
async fn what_is_too_much_is_refused_at_once_and_its_connection_goes_on() {
    let (origin, gate) = Origin::held().await;
    let proxy = Proxy::start(&limited(&origin, "requests = 2\nretry_after = \"7s\"")).await;
    let first = asks(proxy.client().await);
    let second = asks(proxy.h2_client().await);
    origin.has_seen(2).await;
    let mut third = proxy.wire().await;
    for _ in 0..3 {
        third.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let response = third.response().await;
        assert_eq!(response.status, 503);
        assert_eq!(response.header("retry-after"), "7");
        assert_eq!(response.header("connection"), "keep-alive");
    }
    let line = proxy.stdout_line(|line| line.text.contains("503")).await;
    assert!(line.text.contains("as many wait as may"), "{}", line.text);
    proxy.metric_becomes(&refused("queue-full"), 3.0).await;
    gate.add_permits(3);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (200, 200));
    // A client may have its answer a moment before its place is free.
    until("a place", async || {
        third.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        (third.response().await.status == 200).then_some(())
    })
    .await;
    assert_eq!(origin.seen().len(), 3);
}

/// The rest of a body that nobody reads would be taken for the next request.
#[tokio::test]
async fn with_a_body_that_is_not_read_the_connection_ends() {
    let (origin, _gate) = Origin::held().await;
    let proxy = Proxy::start(&limited(&origin, "requests = 1")).await;
    let _first = asks(proxy.client().await);
    origin.has_seen(1).await;
    let mut second = proxy.wire().await;
    second
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 30\r\n\r\n")
        .await;
    assert_eq!(second.response().await.status, 503);
    second.try_send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(second.rest().await.is_empty());
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn some_wait_for_their_turn_and_are_served_in_order() {
    let (origin, gate) = Origin::held().await;
    let keys = "requests = 1\nqueue = 2\ntimeout = { queue = \"1h\" }";
    let proxy = Proxy::start(&limited(&origin, keys)).await;
    let mut asked = vec![asks(proxy.client().await)];
    origin.has_seen(1).await;
    for waiting in 1..=2 {
        asked.push(asks(proxy.client().await));
        proxy.metric_becomes(WAITING, f64::from(waiting)).await;
    }
    assert_eq!(proxy.get("/").await.status, 503);
    gate.add_permits(3);
    for one in asked {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert_eq!(proxy.metric(WAITING).await, 0.0);
    assert_eq!(origin.seen().len(), 3);
}

#[tokio::test]
async fn nobody_waits_longer_than_the_queue_allows() {
    let (origin, _gate) = Origin::held().await;
    let keys = "requests = 1\nqueue = 5\ntimeout = { queue = \"100ms\" }";
    let proxy = Proxy::start(&limited(&origin, keys)).await;
    let _first = asks(proxy.client().await);
    origin.has_seen(1).await;
    assert_eq!(proxy.get("/").await.status, 503);
    proxy.metric_becomes(&refused("queue-timeout"), 1.0).await;
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn who_leaves_makes_room() {
    let (origin, gate) = Origin::held().await;
    let keys = "requests = 1\nqueue = 1\ntimeout = { queue = \"1h\" }";
    let proxy = Proxy::start(&limited(&origin, keys)).await;
    let mut first = proxy.wire().await;
    first.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    origin.has_seen(1).await;
    let mut second = proxy.wire().await;
    second.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    proxy.metric_becomes(WAITING, 1.0).await;
    drop::<Wire>(second);
    proxy.metric_becomes(WAITING, 0.0).await;
    let third = asks(proxy.client().await);
    proxy.metric_becomes(WAITING, 1.0).await;
    drop::<Wire>(first);
    origin.has_seen(2).await;
    // The origin may still be at work for the first.
    gate.add_permits(2);
    assert_eq!(third.await.unwrap(), 200);
}

/// It may be open for days, and costs the upstream something all the time.
#[tokio::test]
async fn a_websocket_keeps_its_place_as_long_as_it_is_open() {
    let origin = echoing().await;
    let keys = "requests = 1\nqueue = 1\ntimeout = { queue = \"1h\" }";
    let proxy = Proxy::start(&limited(&origin, keys)).await;
    let mut first = Tunnel::open(proxy.address()).await;
    first.echoes("one").await;
    let address = proxy.address().to_owned();
    let second = tokio::spawn(async move { Tunnel::open(&address).await });
    proxy.metric_becomes(WAITING, 1.0).await;
    assert_eq!(Tunnel::open(proxy.address()).await.status(), "503");
    // Those who wait and those who are refused take nothing from it.
    first.echoes("two").await;
    assert_eq!(origin.accepted(), 1);
    drop(first);
    let mut second = second.await.unwrap();
    assert_eq!(second.status(), "101");
    second.echoes("three").await;
    proxy.metric_becomes(WAITING, 0.0).await;
}

/// A reload does not let as many through again.
#[tokio::test]
async fn a_reload_counts_on() {
    let (origin, gate) = Origin::held().await;
    let config = limited(&origin, "requests = 1");
    let proxy = Proxy::start(&config).await;
    let first = asks(proxy.client().await);
    origin.has_seen(1).await;
    let more = "\n[[route]]\nname = \"more\"\nmatch = { path = \"/more\" }\nrespond = {}\n";
    proxy.reload(&format!("{config}{more}")).await;
    assert_eq!(proxy.get("/").await.status, 503);
    gate.add_permits(2);
    assert_eq!(first.await.unwrap(), 200);
    until("a place", async || {
        (proxy.get("/").await.status == 200).then_some(())
    })
    .await;
    // Another limit is another count.
    proxy.reload(&limited(&origin, "requests = 2")).await;
}
