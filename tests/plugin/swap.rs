//! A new version takes over while requests run, and none of them notices.

use std::time::{Duration, Instant};

use crate::harness::{Origin, Proxy, Response, get, until};

use super::load::{Load, ok};
use super::support::{
    echo_route, echoed, install, listed, memory, relabelled, stamp, start_with, uncached,
};

const SWAPS: usize = 200;
/// Until a new version answers; the compiler has other things to do, too.
const TAKES_OVER: Duration = Duration::from_secs(5);

fn version(response: &Response) -> usize {
    response.header("x-version").parse().unwrap()
}

/// A version has answered, and the same one in both phases.
fn whole(response: &Response) -> Result<(), String> {
    ok(response)?;
    let there = response.header("x-version");
    let sent = echoed(&response.json(), "x-version").unwrap_or_default();
    if there.len() == 8 && there == sent {
        return Ok(());
    }
    Err(format!("the request has {sent:?}, the response {there:?}"))
}

/// Installs a version and waits until it answers.
async fn swap(proxy: &Proxy, to: usize) -> Duration {
    let start = Instant::now();
    install(proxy, "stamp.wasm", &stamp(to));
    until(&format!("version {to}"), async || {
        (version(&proxy.get("/").await) == to).then_some(())
    })
    .await;
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_swaps_under_load_lose_nothing() {
    let config = uncached(&echo_route("all", "/*", "[\"stamp\"]"));
    let proxy = start_with(&[("stamp.wasm", stamp(0))], &config).await;
    let load = Load::start(&proxy, 8, || get("/"), whole);
    let mut in_use = Vec::new();
    let mut slowest = Duration::ZERO;
    for to in 1..=SWAPS {
        slowest = slowest.max(swap(&proxy, to).await);
        assert!(slowest < TAKES_OVER, "swap {to} took {slowest:?}");
        in_use.push(memory(&proxy));
    }
    // Allocators keep now more and now less: what stays is compared, not the moment. A version that is kept is found
    // below, this is for all else.
    let quarter = SWAPS / 4;
    let before = *in_use[quarter - 10..quarter + 10].iter().max().unwrap();
    let after = *in_use[SWAPS - 20..].iter().min().unwrap();
    let report = load.end().await;
    report.assert_whole();
    println!(
        "{} exchanges, slowest swap {slowest:?}, memory {before} then {after}",
        report.times.len()
    );
    assert!(
        after <= before / 2 * 3,
        "memory grows: {before} bytes, then {after}"
    );
    until("old versions to be gone", async || {
        (proxy.pieces_of_code() <= 2).then_some(())
    })
    .await;
    let live = r#"tidegate_plugin_swaps_total{plugin="stamp",result="live"}"#;
    assert_eq!(proxy.metric(live).await, SWAPS as f64);
    let one_version = r#"tidegate_plugin_call_seconds_count{plugin="stamp",phase="request-head"}"#;
    assert!(proxy.metric(one_version).await > 0.0);
    let metrics = proxy.admin("/metrics").await;
    let series = metrics
        .text()
        .matches("tidegate_plugin_skips_total{")
        .count();
    assert!(series <= 2, "{series} versions are still in the metrics");
}

#[tokio::test]
async fn what_is_in_flight_ends_on_the_version_it_began_with() {
    let (origin, gate) = Origin::held().await;
    let config = format!(
        "
[[route]]
name = \"held\"
match = {{ path = \"/held\" }}
plugins = [\"stamp\"]
upstream = \"app\"

[upstream.app]
peers = [{:?}]
{}",
        origin.address(),
        echo_route("all", "/", "[\"stamp\"]")
    );
    let proxy = start_with(&[("stamp.wasm", stamp(1))], &config).await;
    let mut client = proxy.client().await;
    let in_flight = tokio::spawn(async move { client.get("/held").await });
    origin.has_seen(1).await;
    swap(&proxy, 2).await;
    swap(&proxy, 3).await;
    gate.add_permits(1);
    let response = in_flight.await.unwrap();
    assert_eq!(origin.seen()[0].header("x-version"), "00000001");
    assert_eq!(version(&response), 1);
}

#[tokio::test]
async fn a_swap_says_what_is_live_now() {
    let config = echo_route("all", "/*", "[\"stamp\"]");
    let proxy = start_with(&[("stamp.wasm", stamp(1))], &config).await;
    let before = listed(&proxy, "stamp").await.unwrap();
    assert_eq!(before["state"], "live");
    assert_eq!(before["routes"][0], "all");
    swap(&proxy, 2).await;
    let after = listed(&proxy, "stamp").await.unwrap();
    assert_ne!(before["version"], after["version"]);
    let line = proxy
        .log_line("the swap", |line| line.says("plugin is live"))
        .await;
    assert_eq!(line.field("version").as_deref(), after["version"].as_str());
    assert_eq!(line.field("before").as_deref(), before["version"].as_str());
}

#[tokio::test]
async fn several_plugins_that_change_at_once_all_take_over() {
    let names = ["one", "two", "three"];
    let mut config = String::new();
    for name in names {
        config += &echo_route(name, &format!("/{name}"), &format!("[{name:?}]"));
    }
    let files = [
        ("one.wasm", stamp(1)),
        ("two.wasm", stamp(1)),
        ("three.wasm", stamp(1)),
    ];
    let proxy = start_with(&files, &config).await;
    for name in names {
        install(
            &proxy,
            &format!("{name}.wasm"),
            &relabelled(&stamp(2), name),
        );
    }
    for name in names {
        until(&format!("the new version of {name}"), async || {
            (version(&proxy.get(&format!("/{name}")).await) == 2).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_version_can_come_back() {
    let config = echo_route("all", "/*", "[\"stamp\"]");
    let proxy = start_with(&[("stamp.wasm", stamp(1))], &config).await;
    for to in [2, 1, 2, 1] {
        swap(&proxy, to).await;
    }
}
