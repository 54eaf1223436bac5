//! Stores of keys and values: in memory, and in a Redis that two proxies share.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Proxy, Redis, get, until};

use super::calls::{call, call_on, calling, is, outcome, refused};
use super::support::{echo_route, folder, guest, install, listed, relabelled, start, start_with};

/// A route on `/` and another plugin's on `/other`, both with the store `s`, of which these are the keys.
fn config(store: &str) -> String {
    format!(
        "
[plugins]
cache = \"off\"
deadline = \"2s\"

[kv.s]
{store}

[kv.ungranted]

[plugin.store]
allow = {{ kv = [\"s\"], limiter = true }}

[plugin.other]
file = \"store.wasm\"
allow = {{ kv = [\"s\"], limiter = true }}
{}{}{}",
        echo_route("all", "/*", "[\"store\"]"),
        echo_route("other", "/other", "[\"other\"]"),
        echo_route("plain", "/plain", "[]")
    )
}

/// The store is in this Redis.
fn shared(redis: &Redis) -> String {
    let keys = "redis = \"main\"";
    let address = redis.address();
    config(keys) + &format!("\n[redis.main]\naddress = {address:?}\ntimeout = \"2s\"\n")
}

async fn in_memory() -> Proxy {
    start(&["store"], &config("")).await
}

fn get_key(key: &str) -> Value {
    json!({ "get": ["s", key] })
}

fn set_key(key: &str, value: &str) -> Value {
    json!({ "set": { "at": ["s", key], "value": value } })
}

fn increment(key: &str) -> Value {
    json!({ "increment": { "at": ["s", key], "by": 1 } })
}

fn replace(key: &str, expected: Option<&str>, value: &str) -> Value {
    json!({ "compare-and-set": { "at": ["s", key], "expected": expected, "value": value } })
}

/// What every store does, wherever it is.
async fn keeps_values(proxy: &Proxy) {
    assert_eq!(call(proxy, &get_key("k")).await, is("none"));
    assert_eq!(call(proxy, &set_key("k", "v")).await, is("set"));
    assert_eq!(call(proxy, &get_key("k")).await, is("v"));
    assert_eq!(call(proxy, &set_key("k", "w")).await, is("set"));
    assert_eq!(call(proxy, &get_key("k")).await, is("w"));
    assert_eq!(
        call(proxy, &json!({ "delete": ["s", "k"] })).await,
        is("true")
    );
    assert_eq!(
        call(proxy, &json!({ "delete": ["s", "k"] })).await,
        is("false")
    );
    assert_eq!(call(proxy, &get_key("k")).await, is("none"));
}

async fn compares_before_it_sets(proxy: &Proxy) {
    assert_eq!(
        call(proxy, &replace("c", Some("x"), "1")).await,
        is("false")
    );
    assert_eq!(call(proxy, &replace("c", None, "1")).await, is("true"));
    assert_eq!(call(proxy, &replace("c", None, "2")).await, is("false"));
    assert_eq!(call(proxy, &replace("c", Some("1"), "2")).await, is("true"));
    assert_eq!(call(proxy, &get_key("c")).await, is("2"));
}

async fn refuses_what_makes_no_sense(proxy: &Proxy) {
    call(proxy, &set_key("text", "abc")).await.unwrap();
    assert_eq!(
        call(proxy, &increment("text")).await,
        refused("invalid-value")
    );
    call(proxy, &set_key("most", &i64::MAX.to_string()))
        .await
        .unwrap();
    assert_eq!(
        call(proxy, &increment("most")).await,
        refused("invalid-value")
    );
    assert_eq!(
        call(proxy, &get_key("most")).await,
        is(&i64::MAX.to_string())
    );
    assert_eq!(call(proxy, &get_key("")).await, refused("invalid-argument"));
    let long = "k".repeat(1025);
    assert_eq!(
        call(proxy, &get_key(&long)).await,
        refused("invalid-argument")
    );
    for store in ["ungranted", "nonexistent", ""] {
        let asked = json!({ "get": [store, "k"] });
        assert_eq!(call(proxy, &asked).await, refused("forbidden"), "{store}");
    }
}

/// It is there before, and gone after.
async fn forgets_in_time(proxy: &Proxy) {
    let set = json!({ "set": { "at": ["s", "t"], "value": "v", "ttl": 700 } });
    let start = Instant::now();
    call(proxy, &set).await.unwrap();
    until("the key to be gone", async || {
        let found = call(proxy, &get_key("t")).await.unwrap();
        (found == "none").then_some(())
    })
    .await;
    assert!(
        start.elapsed() >= Duration::from_millis(700),
        "gone too early"
    );
    // A number that is there keeps its time.
    let add = json!({ "increment": { "at": ["s", "n"], "by": 1, "ttl": 700 } });
    let start = Instant::now();
    until("the number to begin again", async || {
        let sum = call(proxy, &add).await.unwrap();
        (sum == "1" && start.elapsed() >= Duration::from_millis(700)).then_some(())
    })
    .await;
}

/// Of plugins that use the same component.
async fn gives_each_plugin_keys_of_its_own(proxy: &Proxy) {
    call(proxy, &set_key("mine", "1")).await.unwrap();
    assert_eq!(call_on(proxy, "/other", &get_key("mine")).await, is("none"));
    call_on(proxy, "/other", &set_key("mine", "2"))
        .await
        .unwrap();
    assert_eq!(call(proxy, &get_key("mine")).await, is("1"));
}

/// Clients on connections of their own, in turn to these proxies.
async fn adds_up(proxies: &[&Proxy]) {
    let mut clients = JoinSet::new();
    for client in 0..16 {
        let mut client = proxies[client % proxies.len()].client().await;
        clients.spawn(async move {
            for _ in 0..50 {
                outcome(&client.send(calling("/", &increment("sum"))).await).unwrap();
            }
        });
    }
    clients.join_all().await;
    assert_eq!(call(proxies[0], &get_key("sum")).await, is("800"));
}

#[tokio::test]
async fn a_store_in_memory_does_what_it_should() {
    let proxy = in_memory().await;
    keeps_values(&proxy).await;
    compares_before_it_sets(&proxy).await;
    refuses_what_makes_no_sense(&proxy).await;
    forgets_in_time(&proxy).await;
    gives_each_plugin_keys_of_its_own(&proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_increments_add_up() {
    let proxy = in_memory().await;
    adds_up(&[&proxy]).await;
}

#[tokio::test]
async fn what_was_not_used_lately_makes_room() {
    let proxy = start(&["store"], &config("entries = 10")).await;
    call(&proxy, &set_key("kept", "v")).await.unwrap();
    for number in 0..100 {
        call(&proxy, &set_key(&format!("k{number}"), "v"))
            .await
            .unwrap();
        assert_eq!(
            call(&proxy, &get_key("kept")).await,
            is("v"),
            "after {number}"
        );
    }
    let mut found = 0;
    for number in 0..100 {
        let value = call(&proxy, &get_key(&format!("k{number}"))).await.unwrap();
        found += usize::from(value == "v");
    }
    assert_eq!(found, 9);
}

#[tokio::test]
async fn a_store_is_bounded_in_bytes() {
    let proxy = start(&["store"], &config("bytes = \"8KiB\"")).await;
    let large = "v".repeat(3000);
    for key in ["a", "b", "c"] {
        call(&proxy, &set_key(key, &large)).await.unwrap();
    }
    assert_eq!(call(&proxy, &get_key("a")).await, is("none"));
    assert_eq!(call(&proxy, &get_key("c")).await, is(&large));
}

#[tokio::test]
async fn a_swap_and_a_reload_keep_what_is_stored() {
    let proxy = in_memory().await;
    call(&proxy, &set_key("k", "v")).await.unwrap();
    let before = listed(&proxy, "store").await.unwrap()["version"].clone();
    install(&proxy, "store.wasm", &relabelled(&guest("store"), "new"));
    until("the swap", async || {
        (listed(&proxy, "store").await.unwrap()["version"] != before).then_some(())
    })
    .await;
    assert_eq!(call(&proxy, &get_key("k")).await, is("v"));
    let more = config("") + &echo_route("more", "/more", "[]");
    proxy.reload(&more).await;
    assert_eq!(proxy.get("/more").await.status, 200);
    assert_eq!(call(&proxy, &get_key("k")).await, is("v"));
}

#[tokio::test]
async fn a_store_in_redis_does_what_it_should() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let proxy = start(&["store"], &shared(&redis)).await;
    keeps_values(&proxy).await;
    compares_before_it_sets(&proxy).await;
    refuses_what_makes_no_sense(&proxy).await;
    forgets_in_time(&proxy).await;
    gives_each_plugin_keys_of_its_own(&proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_share_a_store_in_redis() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let config = shared(&redis);
    let one = start(&["store"], &config).await;
    let two = start(&["store"], &config).await;
    call(&one, &set_key("k", "of one")).await.unwrap();
    assert_eq!(call(&two, &get_key("k")).await, is("of one"));
    assert_eq!(
        call(&two, &replace("k", Some("of one"), "of two")).await,
        is("true")
    );
    assert_eq!(
        call(&one, &replace("k", Some("of one"), "x")).await,
        is("false")
    );
    adds_up(&[&one, &two]).await;
}

#[tokio::test]
async fn a_redis_that_is_down_is_unavailable_at_once_and_found_again() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let proxy = start(&["store"], &shared(&redis)).await;
    call(&proxy, &set_key("k", "v")).await.unwrap();
    redis.stop();
    until("the loss to be seen", async || {
        call(&proxy, &get_key("k")).await.err()
    })
    .await;
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(call(&proxy, &get_key("k")).await, refused("unavailable"));
    }
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(proxy.get("/plain").await.status, 200);
    redis.restart().await;
    until("the server to be found again", async || {
        call(&proxy, &set_key("k", "again")).await.ok()
    })
    .await;
    assert_eq!(call(&proxy, &get_key("k")).await, is("again"));
}

#[tokio::test]
async fn a_redis_that_hangs_holds_up_nobody_else() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let config = format!("[server]\nthreads = 1\n{}", shared(&redis));
    let proxy = start(&["store"], &config).await;
    call(&proxy, &set_key("k", "v")).await.unwrap();
    redis.signal("-STOP");
    let mut client = proxy.client().await;
    let waiting = tokio::spawn(async move { client.send(calling("/", &get_key("k"))).await });
    while !waiting.is_finished() {
        let start = Instant::now();
        assert_eq!(proxy.send(get("/plain")).await.status, 200);
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
    }
    let answer = outcome(&waiting.await.unwrap());
    redis.signal("-CONT");
    assert_eq!(answer, refused("timeout"));
    until("the server to be used again", async || {
        call(&proxy, &get_key("k")).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_start_without_redis_serves_what_does_not_need_it() {
    let config =
        config("redis = \"main\"") + "\n[redis.main]\naddress = \"unix:/nonexistent/redis.sock\"\n";
    let proxy = start_with(&[("store.wasm", guest("store"))], &config).await;
    assert_eq!(proxy.get("/plain").await.status, 200);
    assert_eq!(call(&proxy, &get_key("k")).await, refused("unavailable"));
}

#[tokio::test]
async fn the_password_of_redis_can_be_rotated() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    redis.restart_with_password("first").await;
    let config = shared(&redis)
        + "password = { secret = \"redis\" }\n[secret.redis]\nfile = \"password\"\nrefresh = \"1d\"\n";
    let folder = folder(&[("store.wasm", guest("store"))]);
    let password = folder.path().join("password");
    std::fs::write(&password, "first").unwrap();
    let proxy = Proxy::start_in(folder, &config).await;
    call(&proxy, &set_key("k", "v")).await.unwrap();
    std::fs::write(&password, "second").unwrap();
    proxy.has_logged("secret changed", 1).await;
    redis.restart_with_password("second").await;
    until("the new password to be used", async || {
        call(&proxy, &set_key("k", "v")).await.ok()
    })
    .await;
    assert!(!proxy.written().contains("second"));
}
