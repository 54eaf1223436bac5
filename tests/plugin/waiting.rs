//! Plugins that wait for another server: who else waits, and when the wait ends.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Origin, Proxy, Request};

use super::calls::{calling, is, outcome};
use super::support::{echo_route, start};

/// One worker, a route through `ask` with these keys, and one without a plugin.
fn config(origin: &Origin, keys: &str) -> String {
    format!(
        "
[server]
threads = 1

[plugins]
cache = \"off\"
deadline = \"2s\"
wait = \"15s\"

[plugin.ask]
allow = {{ http = [{{ origin = \"http://{}\", private = true }}] }}
{keys}
{}{}",
        origin.address(),
        echo_route("ask", "/ask", "[\"ask\"]"),
        echo_route("good", "/good", "[]")
    )
}

async fn proxy_with(origin: &Origin, keys: &str) -> Proxy {
    let config = config(origin, keys);
    start(&["ask"], &config).await
}

fn asking(origin: &Origin) -> Request {
    let url = format!("http://{}/", origin.address());
    calling("/ask", &json!({ "send": { "url": url } }))
}

fn failures(kind: &str) -> String {
    format!("tidegate_plugin_failures_total{{plugin=\"ask\",kind={kind:?}}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_that_wait_do_not_hold_up_the_worker() {
    let (origin, gate) = Origin::held().await;
    let proxy = proxy_with(&origin, "").await;
    let mut waiting = JoinSet::new();
    for _ in 0..50 {
        let mut client = proxy.client().await;
        let request = asking(&origin);
        waiting.spawn(async move { outcome(&client.send(request).await) });
    }
    origin.has_seen(50).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(client.get("/good").await.status, 200);
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
    }
    assert!(
        waiting.try_join_next().is_none(),
        "the origin held them all"
    );
    gate.add_permits(50);
    for answer in waiting.join_all().await {
        assert_eq!(answer, is("200 late"));
    }
    // Nothing is left of them: as many again.
    gate.add_permits(1);
    assert_eq!(outcome(&proxy.send(asking(&origin)).await), is("200 late"));
}

#[tokio::test]
async fn a_wait_ends_when_the_client_closes_its_connection() {
    let (origin, _gate) = Origin::held().await;
    let proxy = proxy_with(&origin, "").await;
    let mut client = proxy.client().await;
    let request = asking(&origin);
    let waiting = tokio::spawn(async move { client.send(request).await });
    origin.has_seen(1).await;
    waiting.abort();
    origin.is_left().await;
    assert_eq!(proxy.get("/good").await.status, 200);
    // Nobody failed.
    assert_eq!(proxy.metric(&failures("deadline")).await, 0.0);
    assert_eq!(proxy.metric(&failures("trap")).await, 0.0);
}

#[tokio::test]
async fn a_wait_ends_when_the_client_resets_its_stream() {
    let (origin, _gate) = Origin::held().await;
    let proxy = proxy_with(&origin, "").await;
    let mut client = proxy.h2_client().await;
    let mut another = client.another();
    let request = asking(&origin);
    let waiting = tokio::spawn(async move { another.send(request).await });
    origin.has_seen(1).await;
    waiting.abort();
    origin.is_left().await;
    // On the same connection.
    assert_eq!(client.get("/good").await.status, 200);
    assert_eq!(proxy.metric(&failures("deadline")).await, 0.0);
}

#[tokio::test]
async fn a_wait_has_a_bound_and_then_the_policy_decides() {
    let (origin, _gate) = Origin::held().await;
    for (policy, status) in [("closed", 503), ("open", 200)] {
        let keys = format!("wait = \"300ms\"\non_failure = {{ deadline = {policy:?} }}");
        let proxy = proxy_with(&origin, &keys).await;
        let start = Instant::now();
        let response = proxy.send(asking(&origin)).await;
        let took = start.elapsed();
        assert_eq!(response.status, status, "{policy}");
        assert!(took >= Duration::from_millis(300), "{took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(proxy.metric(&failures("deadline")).await, 1.0);
        // The one that was open, if any, is not left waiting.
        origin.is_left().await;
        assert_eq!(proxy.get("/good").await.status, 200);
    }
}

#[tokio::test]
async fn the_deadline_counts_what_is_computed() {
    let (origin, gate) = Origin::held().await;
    let deadline = Duration::from_millis(50);
    let proxy = proxy_with(&origin, "deadline = \"50ms\"").await;
    let mut client = proxy.client().await;
    let request = asking(&origin);
    let start = Instant::now();
    let waiting = tokio::spawn(async move { outcome(&client.send(request).await) });
    origin.has_seen(1).await;
    while start.elapsed() < deadline * 10 {
        assert_eq!(proxy.get("/good").await.status, 200);
        assert!(!waiting.is_finished(), "{:?}", start.elapsed());
    }
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), is("200 late"));

    let start = Instant::now();
    let response = proxy.send(calling("/ask", &json!({ "spin": {} }))).await;
    let took = start.elapsed();
    assert_eq!(response.status, 503);
    assert!(
        took >= deadline - Duration::from_millis(2),
        "cut too early: {took:?}"
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(proxy.metric(&failures("deadline")).await, 1.0);
    gate.add_permits(1);
    assert_eq!(outcome(&proxy.send(asking(&origin)).await), is("200 late"));
}
