//! Windows and places of limits: in this process, and in a Redis that two proxies share.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Origin, Proxy, Redis, Request, refusing_address, until, with_header};

use super::calls::{call, calling, is, outcome, refused};
use super::support::start;

/// A route to the origin through the guest, which may limit in this way.
fn config(origin: &str, limiter: &str) -> String {
    format!(
        "
[plugins]
cache = \"off\"
deadline = \"2s\"

[plugin.store]
allow = {{ kv = [\"s\"], limiter = {limiter} }}

[kv.s]

[[route]]
name = \"all\"
plugins = [\"store\"]
upstream = \"app\"

[upstream.app]
peers = [{origin:?}]
"
    )
}

fn in_redis(origin: &str, redis: &Redis) -> String {
    let address = redis.address();
    config(origin, "{ redis = \"main\" }")
        + &format!("\n[redis.main]\naddress = {address:?}\ntimeout = \"2s\"\n")
}

fn window(key: &str, limit: u64, period: u64) -> Value {
    json!({ "window": { "key": key, "limit": limit, "period": period } })
}

fn place(limit: u64) -> Value {
    json!({ "acquire": { "key": "k", "limit": limit, "ttl": 600_000 } })
}

/// Goes on to the origin where there is a place.
fn with_place(limit: u64) -> Request {
    with_header(calling("/held", &place(limit)), "x-then", "proceed")
}

/// Whether another exchange gets one of so many places.
async fn has_place(proxy: &Proxy, limit: u64) -> bool {
    call(proxy, &place(limit)).await == is("true")
}

/// How many of these calls were allowed, made in turn through the proxies.
async fn allowed(proxies: &[&Proxy], what: &Value, count: usize) -> usize {
    let mut allowed = 0;
    for turn in 0..count {
        let answer = call(proxies[turn % proxies.len()], what).await;
        allowed += usize::from(answer == is("true"));
    }
    allowed
}

#[tokio::test]
async fn a_window_allows_its_limit_and_moves_on() {
    let proxy = start(&["store"], &config(&refusing_address(), "true")).await;
    let hour = 3_600_000;
    assert_eq!(allowed(&[&proxy], &window("a", 5, hour), 12).await, 5);
    assert_eq!(allowed(&[&proxy], &window("b", 5, hour), 3).await, 3);
    assert_eq!(
        call(&proxy, &window("a", 0, hour)).await,
        refused("invalid-argument")
    );
    assert_eq!(
        call(&proxy, &window("a", 1, 0)).await,
        refused("invalid-argument")
    );
    let short = window("short", 1, 300);
    let start = Instant::now();
    assert_eq!(call(&proxy, &short).await, is("true"));
    let next = async || (call(&proxy, &short).await == is("true")).then_some(());
    until("the window to move on", next).await;
    assert!(
        start.elapsed() >= Duration::from_millis(200),
        "{:?}",
        start.elapsed()
    );
}

/// Two places, each held by an exchange.
async fn hold_two(proxy: &Proxy, origin: &Origin) -> JoinSet<u16> {
    let mut holders = JoinSet::new();
    for count in 1..=2 {
        let mut client = proxy.client().await;
        holders.spawn(async move { client.send(with_place(2)).await.status });
        origin.has_seen(count).await;
    }
    holders
}

#[tokio::test]
async fn places_are_given_back_when_exchanges_end() {
    let (origin, gate) = Origin::held().await;
    let proxy = start(&["store"], &config(origin.address(), "true")).await;
    let holders = hold_two(&proxy, &origin).await;
    assert!(!has_place(&proxy, 2).await);
    gate.add_permits(2);
    assert_eq!(holders.join_all().await, [200, 200]);
    until("places to be free", async || {
        has_place(&proxy, 2).await.then_some(())
    })
    .await;
    // An exchange that only asked gave its place back as well.
    for _ in 0..5 {
        until("a place", async || has_place(&proxy, 1).await.then_some(())).await;
    }
}

#[tokio::test]
async fn a_place_can_be_given_back_before_the_end() {
    let proxy = start(&["store"], &config(&refusing_address(), "true")).await;
    let both = json!({ "acquire-and-release": { "key": "k", "limit": 1, "ttl": 600_000 } });
    for _ in 0..5 {
        assert_eq!(call(&proxy, &both).await, is("true"));
    }
}

/// Places of clients that are gone, over both protocols.
async fn comes_back_when_clients_leave(proxy: &Proxy, origin: &Origin) {
    let mut seen = origin.seen().len();
    for h2 in [false, true] {
        let mut client = match h2 {
            true => proxy.h2_client().await,
            false => proxy.client().await,
        };
        let holder = tokio::spawn(async move {
            // Who asked before has been answered, and may not have given the place back yet.
            loop {
                client.send(with_place(1)).await;
            }
        });
        seen += 1;
        origin.has_seen(seen).await;
        assert!(!has_place(proxy, 1).await);
        holder.abort();
        until("the place to be free", async || {
            has_place(proxy, 1).await.then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn places_of_clients_that_leave_are_given_back() {
    let (origin, _gate) = Origin::held().await;
    let proxy = start(&["store"], &config(origin.address(), "true")).await;
    comes_back_when_clients_leave(&proxy, &origin).await;
}

#[tokio::test]
async fn a_place_ends_with_its_time() {
    let (origin, gate) = Origin::held().await;
    let proxy = start(&["store"], &config(origin.address(), "true")).await;
    let short = json!({ "acquire": { "key": "k", "limit": 1, "ttl": 300 } });
    let mut client = proxy.client().await;
    let request = with_header(calling("/held", &short), "x-then", "proceed");
    let holder = tokio::spawn(async move { client.send(request).await.status });
    origin.has_seen(1).await;
    until("the place to be free", async || {
        has_place(&proxy, 1).await.then_some(())
    })
    .await;
    assert!(!holder.is_finished());
    gate.add_permits(1);
    assert_eq!(holder.await.unwrap(), 200);
}

#[tokio::test]
async fn two_proxies_share_their_limits_in_redis() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (origin, gate) = Origin::held().await;
    let config = in_redis(origin.address(), &redis);
    let one = start(&["store"], &config).await;
    let two = start(&["store"], &config).await;
    let hour = 3_600_000;
    assert_eq!(allowed(&[&one, &two], &window("w", 7, hour), 20).await, 7);
    let bucket = json!({ "take": { "key": "b", "tokens": 5, "period": hour } });
    assert_eq!(allowed(&[&one, &two], &bucket, 20).await, 5);
    let holders = hold_two(&one, &origin).await;
    assert!(!has_place(&two, 2).await);
    gate.add_permits(2);
    assert_eq!(holders.join_all().await, [200, 200]);
    until("places to be free", async || {
        has_place(&two, 1).await.then_some(())
    })
    .await;
}

#[tokio::test]
async fn places_in_redis_are_given_back_when_clients_leave() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (origin, _gate) = Origin::held().await;
    let proxy = start(&["store"], &in_redis(origin.address(), &redis)).await;
    comes_back_when_clients_leave(&proxy, &origin).await;
}

#[tokio::test]
async fn limits_in_a_redis_that_is_down_are_unavailable() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let proxy = start(&["store"], &in_redis(&refusing_address(), &redis)).await;
    let asked = window("w", 100, 3_600_000);
    assert_eq!(call(&proxy, &asked).await, is("true"));
    redis.stop();
    until("the loss to be seen", async || {
        (call(&proxy, &asked).await == refused("unavailable")).then_some(())
    })
    .await;
    redis.restart().await;
    until("the server to be found again", async || {
        call(&proxy, &asked).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_places_than_the_limit_at_one_time() {
    let (origin, gate) = Origin::held().await;
    let proxy = start(&["store"], &config(origin.address(), "true")).await;
    let mut clients = JoinSet::new();
    for _ in 0..32 {
        let mut client = proxy.client().await;
        clients.spawn(async move { client.send(with_place(4)).await });
    }
    let mut refusals = 0;
    while refusals < 28 {
        let response = clients.join_next().await.unwrap().unwrap();
        assert_eq!(outcome(&response), is("false"));
        refusals += 1;
    }
    origin.has_seen(4).await;
    assert_eq!(origin.seen().len(), 4);
    gate.add_permits(4);
    for response in clients.join_all().await {
        assert_eq!((response.status, response.text()), (200, "late"));
    }
}
