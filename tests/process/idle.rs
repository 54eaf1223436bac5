//! A proxy that has nothing to do does nothing.

use std::time::{Duration, Instant};

use crate::harness::{ECHO, Proxy, get, until, with_header};
use crate::plugin::support::{echo_route, start};

#[tokio::test]
async fn an_idle_proxy_takes_no_time() {
    let proxy = Proxy::start(ECHO).await;
    let mut kept = proxy.client().await;
    assert_eq!(kept.get("/").await.status, 200);
    // It looks at its files every two seconds; a loop that begins with that takes all of the time.
    let mut period = tokio::time::interval(Duration::from_secs(3));
    period.tick().await;
    period.tick().await;
    let before = proxy.cpu_time();
    period.tick().await;
    let took = proxy.cpu_time() - before;
    assert!(
        took < Duration::from_millis(200),
        "{took:?} of three seconds"
    );
    assert_eq!(kept.get("/").await.status, 200);
}

/// For deadlines; a guest that spins is stopped all the same.
#[tokio::test]
async fn the_thread_of_the_epoch_sleeps_while_no_plugin_computes() {
    let config = format!(
        "[plugins]\nallow = [\"log\", \"metrics\", \"clock\", \"random\", \"attributes\", \"limiter\", \"crypto\"]\ncache = \"off\"\ndeadline = \"50ms\"\n{}",
        echo_route("spin", "/", "[\"spin\"]")
    );
    let proxy = start(&["spin"], &config).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        for _ in 0..20 {
            assert_eq!(client.get("/").await.status, 200);
        }
        assert!(waits_in_three_seconds(&proxy, "epoch").await <= 1);
        let start = Instant::now();
        let spinning = with_header(get("/"), "x-spin", "request");
        assert_eq!(client.send(spinning).await.status, 503);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn the_thread_of_the_epoch_sleeps_without_plugins() {
    let proxy = Proxy::start(ECHO).await;
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(waits_in_three_seconds(&proxy, "epoch").await, 0);
}

/// How often the thread waited in three seconds. They begin when it has been quiet for a moment, as it is soon.
async fn waits_in_three_seconds(proxy: &Proxy, thread: &str) -> u64 {
    let mut moment = tokio::time::interval(Duration::from_millis(200));
    let mut before = waits(proxy, thread);
    moment.tick().await;
    until("a quiet moment", async || {
        moment.tick().await;
        let quiet = waits(proxy, thread) == before;
        before = waits(proxy, thread);
        quiet.then_some(())
    })
    .await;
    let mut period = tokio::time::interval(Duration::from_secs(3));
    period.tick().await;
    period.tick().await;
    waits(proxy, thread) - before
}

/// How often a thread of the proxy has waited for something so far.
fn waits(proxy: &Proxy, thread: &str) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", proxy.pid())).unwrap();
    let mut stats =
        tasks.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("status")).ok());
    let name = format!("Name:\t{thread}\n");
    let status = stats.find(|status| status.starts_with(&name)).unwrap();
    let waits = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    waits.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn connections_are_given_back() {
    let proxy = Proxy::start(ECHO).await;
    let before = proxy.open_files();
    for _ in 0..20 {
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = proxy.client().await;
            assert_eq!(client.get("/").await.status, 200);
            clients.push(client);
        }
    }
    proxy
        .metric_becomes(r#"tidegate_connections{listener="web"}"#, 0.0)
        .await;
    // One for whoever asked for the metric may be on its way out.
    assert!(proxy.open_files() <= before + 2, "{}", proxy.open_files());
}

#[tokio::test]
async fn without_descriptors_it_waits_and_goes_on() {
    let proxy = Proxy::start(ECHO).await;
    proxy.limit_files(proxy.open_files() + 8);
    let mut wires = Vec::new();
    for _ in 0..16 {
        // The system accepts them; the proxy has no descriptor for the last ones.
        wires.push(proxy.wire().await);
    }
    proxy
        .log_line("the want", |line| line.says("cannot accept; trying again"))
        .await;
    let before = proxy.cpu_time();
    let mut period = tokio::time::interval(Duration::from_secs(1));
    period.tick().await;
    period.tick().await;
    let took = proxy.cpu_time() - before;
    assert!(took < Duration::from_millis(200), "{took:?} of a second");
    drop(wires);
    assert_eq!(proxy.get("/").await.status, 200);
    assert!(
        proxy.log_count("cannot accept; trying again") <= 2,
        "the log is not filled with it"
    );
    let failures = proxy
        .metric("tidegate_accept_failures_total{listener=\"web\"}")
        .await;
    assert!(failures > 3.0, "{failures} were counted");
}
