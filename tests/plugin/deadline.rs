//! A plugin that does not come back is cut, and what else the proxy does goes on.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::harness::{get, soon, with_header};

use super::load::{Load, ok, quantile};
use super::support::{echo_route, start};

/// How much later than its deadline a call may end, on a machine that also runs other tests.
const MARGIN: Duration = Duration::from_millis(100);

fn config(threads: usize, deadline: &str) -> String {
    format!(
        "[server]\nthreads = {threads}\n[plugins]\nallow = [\"log\", \"metrics\", \"clock\", \"random\", \"attributes\", \"limiter\", \"crypto\"]\ncache = \"off\"\ndeadline = {deadline:?}\n{}{}",
        echo_route("spin", "/spin", "[\"spin\"]"),
        echo_route("good", "/good", "[]")
    )
}

#[tokio::test]
async fn a_call_ends_soon_after_its_deadline() {
    for phase in ["request", "response"] {
        let proxy = start(&["spin"], &config(2, "30ms")).await;
        let mut client = proxy.client().await;
        let mut times = Vec::new();
        for _ in 0..15 {
            let start = Instant::now();
            let response = client
                .send(with_header(get("/spin"), "x-spin", phase))
                .await;
            times.push(start.elapsed());
            assert_eq!(response.status, 503);
        }
        times.sort();
        let (least, half) = (times[0], quantile(&times, 0.5));
        println!("{phase}: deadline 30 ms, least {least:?}, p50 {half:?}");
        assert!(
            least >= Duration::from_millis(29),
            "cut too early: {least:?}"
        );
        assert!(half < Duration::from_millis(30) + MARGIN, "{half:?}");
    }
}

#[tokio::test]
async fn a_plugin_can_have_a_deadline_of_its_own() {
    let config = config(1, "10s") + "\n[plugin.spin]\ndeadline = \"5ms\"\n";
    let proxy = start(&["spin"], &config).await;
    let start = Instant::now();
    let response = proxy
        .send(with_header(get("/spin"), "x-spin", "request"))
        .await;
    assert_eq!(response.status, 503);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_on_the_other_worker_goes_on() {
    let proxy = start(&["spin"], &config(2, "20ms")).await;
    let load = Load::start(&proxy, 4, || get("/good"), ok);
    load.goes_on(20).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        client
            .send(with_header(get("/spin"), "x-spin", "request"))
            .await;
    }
    let report = load.end().await;
    report.assert_whole();
    let (half, most, worst) = (
        report.quantile(0.5),
        report.quantile(0.99),
        report.quantile(1.0),
    );
    println!("beside one spinning client: p50 {half:?}, p99 {most:?}, worst {worst:?}");
    assert!(half < MARGIN, "{half:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_answered_while_every_worker_spins() {
    let proxy = start(&["spin"], &config(2, "20ms")).await;
    let mut spinning = JoinSet::new();
    for _ in 0..10 {
        let mut client = proxy.client().await;
        spinning.spawn(async move {
            for _ in 0..10 {
                let response = client
                    .send(with_header(get("/spin"), "x-spin", "request"))
                    .await;
                assert_eq!(response.status, 503);
            }
        });
    }
    let mut times = Vec::new();
    while spinning.try_join_next().transpose().unwrap().is_none() {
        let start = Instant::now();
        let health = proxy.admin("/healthz").await;
        times.push(start.elapsed());
        assert_eq!(health.status, 200);
    }
    soon("the spinning requests", spinning.join_all()).await;
    times.sort();
    let (half, worst) = (quantile(&times, 0.5), quantile(&times, 1.0));
    println!("/healthz beside ten spinning clients: p50 {half:?}, worst {worst:?}");
    // It waits in turn with calls of 20 ms, at each of its few steps.
    assert!(half < Duration::from_secs(1), "{half:?}");
}
