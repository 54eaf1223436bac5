//! The bundled plugin `rate-limit`, as its README says, and the host's limiter behind it.

use tokio::task::JoinSet;

use crate::harness::{Proxy, get, until, with_header};

use super::support::{bundled, install, listed, relabelled, start_with};

async fn proxy(config: &str) -> Proxy {
    start_with(&[("rate-limit.wasm", bundled("rate-limit"))], config).await
}

fn route(name: &str, keys: &str) -> String {
    format!(
        "
[[route]]
name = {name:?}
match = {{ path = \"/{name}\" }}
plugins = [{{ use = \"rate-limit\", config = {{ {keys} }} }}]
respond = {{ body = \"in\" }}
"
    )
}

/// How many of so many requests pass, one after the other.
async fn passed(proxy: &Proxy, path: &str, requests: usize) -> usize {
    let mut client = proxy.client().await;
    let mut passed = 0;
    for _ in 0..requests {
        match client.get(path).await.status {
            200 => passed += 1,
            status => assert_eq!(status, 429),
        }
    }
    passed
}

#[tokio::test]
async fn the_fields_tell_a_client_where_it_stands() {
    let proxy = proxy(&route("a", "rate = \"2/h\", burst = 2")).await;
    let first = proxy.get("/a").await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), "\"default\";q=2;w=3600");
    assert!(
        first.header("ratelimit").starts_with("\"default\";r=1;t="),
        "{first:?}"
    );
    assert_eq!(proxy.get("/a").await.status, 200);
    let third = proxy.get("/a").await;
    assert_eq!(third.status, 429);
    let wait: u64 = third.header("retry-after").parse().unwrap();
    assert!((1790..=1800).contains(&wait), "{wait}");
    assert!(third.header("ratelimit").starts_with("\"default\";r=0;t="));
    let limited = "tidegate_plugin_rate_limit_limited_total";
    assert_eq!(proxy.metric(limited).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_burst_passes_however_many_come_at_once() {
    let threads = "[server]\nthreads = 2\n".to_owned();
    let proxy = proxy(&(threads + &route("a", "rate = \"1/d\", burst = 50"))).await;
    let mut clients = JoinSet::new();
    for _ in 0..10 {
        let mut client = proxy.client().await;
        clients.spawn(async move {
            let mut passed = 0;
            for _ in 0..20 {
                passed += usize::from(client.get("/a").await.status == 200);
            }
            passed
        });
    }
    let passed: usize = clients.join_all().await.into_iter().sum();
    assert_eq!(passed, 50);
}

#[tokio::test]
async fn what_is_left_survives_a_swap() {
    let proxy = proxy(&route("a", "rate = \"1/d\", burst = 10")).await;
    assert_eq!(passed(&proxy, "/a", 6).await, 6);
    let before = listed(&proxy, "rate-limit").await.unwrap();
    let new = relabelled(&bundled("rate-limit"), "another");
    install(&proxy, "rate-limit.wasm", &new);
    until("the new version", async || {
        let now = listed(&proxy, "rate-limit").await.unwrap();
        (now["version"] != before["version"]).then_some(())
    })
    .await;
    assert_eq!(passed(&proxy, "/a", 10).await, 4);
}

#[tokio::test]
async fn what_is_left_survives_a_reload() {
    let config = route("a", "rate = \"1/d\", burst = 10");
    let proxy = proxy(&config).await;
    assert_eq!(passed(&proxy, "/a", 6).await, 6);
    let more = config + &route("b", "rate = \"1/d\", burst = 10");
    proxy.reload(&super::support::uncached(&more)).await;
    assert_eq!(passed(&proxy, "/a", 10).await, 4);
}

#[tokio::test]
async fn routes_share_a_bucket_only_where_they_say_so() {
    let own = "rate = \"1/d\", burst = 4";
    let shared = "rate = \"1/d\", burst = 4, scope = \"plugin\", name = \"all\"";
    let config = route("a", own) + &route("b", own) + &route("c", shared) + &route("d", shared);
    let proxy = proxy(&config).await;
    assert_eq!(passed(&proxy, "/a", 5).await, 4);
    assert_eq!(passed(&proxy, "/b", 5).await, 4);
    assert_eq!(passed(&proxy, "/c", 3).await, 3);
    assert_eq!(passed(&proxy, "/d", 3).await, 1);
}

#[tokio::test]
async fn clients_are_told_apart_by_the_key() {
    let proxy = proxy(&route(
        "a",
        "rate = \"1/d\", burst = 1, key = [\"header:x-user\", \"method\"]",
    ))
    .await;
    for user in ["ann", "ben"] {
        let request = || with_header(get("/a"), "x-user", user);
        assert_eq!(proxy.send(request()).await.status, 200);
        assert_eq!(proxy.send(request()).await.status, 429);
    }
}

#[tokio::test]
async fn a_missing_part_of_the_key_is_handled_as_configured() {
    let route_with = |name: &str, missing: &str| {
        let keys = format!(
            "rate = \"1/d\", burst = 1, key = \"header:x-user\", missing_key = {missing:?}"
        );
        route(name, &keys)
    };
    let config = route_with("together", "limit-together")
        + &route_with("skip", "skip")
        + &route_with("deny", "deny");
    let proxy = proxy(&config).await;
    assert_eq!(passed(&proxy, "/together", 3).await, 1);
    assert_eq!(passed(&proxy, "/skip", 3).await, 3);
    assert_eq!(proxy.get("/deny").await.status, 400);
}

#[tokio::test]
async fn a_dry_run_counts_and_limits_nothing() {
    let proxy = proxy(&route("a", "rate = \"1/d\", burst = 1, dry_run = true")).await;
    assert_eq!(passed(&proxy, "/a", 4).await, 4);
    let limited = "tidegate_plugin_rate_limit_limited_total";
    assert_eq!(proxy.metric(limited).await, 3.0);
}

#[tokio::test]
async fn each_api_key_has_its_own_bucket() {
    let config = r#"
[[route]]
name = "all"
respond = { body = "in" }

[[route.plugins]]
use = "api-key"
[route.plugins.config]
keys = [
    { id = "alice", hash = "sha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90" },
    { id = "bob", hash = "sha256:81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9" },
]

[[route.plugins]]
use = "rate-limit"
config = { rate = "1/d", burst = 2, key = "attribute:api-key.id" }
"#;
    let files = [
        ("api-key.wasm", bundled("api-key")),
        ("rate-limit.wasm", bundled("rate-limit")),
    ];
    let proxy = start_with(&files, config).await;
    for key in ["alice", "bob"] {
        let request = || with_header(get("/"), "x-api-key", key);
        for expected in [200, 200, 429] {
            assert_eq!(proxy.send(request()).await.status, expected, "{key}");
        }
    }
    // Who is not let in uses up nobody's tokens.
    assert_eq!(proxy.get("/").await.status, 401);
}
