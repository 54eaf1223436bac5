//! The bundled plugin `canary`, as its README says, with two upstreams.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use crate::harness::{Origin, Proxy, Request, get, with_header};

use super::support::{bundled, start_with};

/// An upstream that says its name.
async fn named(name: &'static str) -> Origin {
    Origin::answering(move |_| Response::new(Full::new(Bytes::from_static(name.as_bytes())))).await
}

/// The configuration with these weights, upstreams that are allowed, and keys of the plugin.
fn config(
    stable: &Origin,
    canary: &Origin,
    weights: (u32, u32),
    allowed: &str,
    keys: &str,
) -> String {
    format!(
        r#"
[plugins]
cache = "off"
deadline = "2s"

[plugin.canary]
allow = {{ log = true, metrics = true, attributes = true, upstreams = {allowed} }}

[plugin.headers]
allow = ["attributes", "log"]

[[route]]
name = "all"
upstream = "stable"

[[route.plugins]]
use = "headers"
config = {{ response = [{{ set = "x-target", value = "${{canary.target}}", if_absent = "skip" }}] }}

[[route.plugins]]
use = "canary"

[route.plugins.config]
targets = [{{ upstream = "stable", weight = {} }}, {{ upstream = "canary", weight = {} }}]
key = "header:x-user"
{keys}

[upstream.stable]
peers = [{:?}]

[upstream.canary]
peers = [{:?}]
"#,
        weights.0,
        weights.1,
        stable.address(),
        canary.address(),
    )
}

async fn proxy(config: &str) -> Proxy {
    let files = [
        ("canary.wasm", bundled("canary")),
        ("headers.wasm", bundled("headers")),
    ];
    start_with(&files, config).await
}

fn of(user: usize) -> Request {
    with_header(get("/"), "x-user", &user.to_string())
}

/// Where each of many users goes.
async fn targets(proxy: &Proxy) -> Vec<String> {
    let mut client = proxy.client().await;
    let mut targets = Vec::new();
    for user in 0..60 {
        let response = client.send(of(user)).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("x-target"), response.text());
        targets.push(response.text().to_owned());
    }
    targets
}

#[tokio::test]
async fn users_stay_and_only_move_to_what_grows() {
    let (stable, canary) = (named("stable").await, named("canary").await);
    let with = |weights| config(&stable, &canary, weights, "[\"canary\"]", "");
    let proxy = proxy(&with((70, 30))).await;
    let first = targets(&proxy).await;
    assert_eq!(first, targets(&proxy).await);
    let share = first.iter().filter(|target| *target == "canary").count();
    assert!((5..35).contains(&share), "{share} of 60");

    proxy.reload(&with((30, 70))).await;
    let second = targets(&proxy).await;
    let mut pairs = first.iter().zip(&second);
    assert!(pairs.all(|(before, after)| before == after || after == "canary"));
    assert_ne!(first, second);
    let chosen = "tidegate_plugin_canary_chosen_total{by=\"key\"}";
    assert_eq!(proxy.metric(chosen).await, 180.0);
}

#[tokio::test]
async fn a_cookie_keeps_a_user_and_a_field_lets_testers_choose() {
    let (stable, canary) = (named("stable").await, named("canary").await);
    let keys = "cookie = { name = \"release\" }\nforce_header = \"x-canary\"";
    let with = |weights| config(&stable, &canary, weights, "[\"canary\"]", keys);
    let proxy = proxy(&with((1, 0))).await;
    let response = proxy.send(of(1)).await;
    assert_eq!(response.text(), "stable");
    let cookie = response.header("set-cookie");
    assert_eq!(cookie, "release=stable; Path=/; HttpOnly; SameSite=Lax");
    let forced = proxy.send(with_header(of(1), "x-canary", "canary")).await;
    assert_eq!((forced.text(), forced.header("set-cookie")), ("canary", ""));

    proxy.reload(&with((1, 1_000_000))).await;
    let kept = proxy
        .send(with_header(of(1), "cookie", "release=stable"))
        .await;
    assert_eq!((kept.text(), kept.header("set-cookie")), ("stable", ""));
    let made_up = proxy
        .send(with_header(of(1), "cookie", "release=admin"))
        .await;
    assert_eq!(made_up.text(), "canary");
}

#[tokio::test]
async fn an_upstream_that_is_not_allowed_is_not_chosen() {
    let (stable, canary) = (named("stable").await, named("canary").await);
    let proxy = proxy(&config(&stable, &canary, (0, 1), "[]", "")).await;
    assert_eq!(proxy.send(of(1)).await.status, 503);
    assert!(canary.seen().is_empty());
}
