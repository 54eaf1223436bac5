//! A component that was built for WASI runs, and finds neither files nor network nor environment.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::harness::{Origin, get, with_header};

use super::support::{echo_route, start};

/// One worker and one plugin with this deadline.
fn one_worker(deadline: &str) -> String {
    format!(
        "[server]\nthreads = 1\n[plugins]\nallow = [\"log\", \"metrics\", \"clock\", \"random\", \"attributes\", \"limiter\", \"crypto\"]\ncache = \"off\"\ndeadline = {deadline:?}\n{}{}",
        echo_route("wasi", "/wasi", "[\"wasi\"]"),
        echo_route("good", "/good", "[]")
    )
}

#[tokio::test]
async fn what_is_not_granted_is_not_there() {
    let origin = Origin::echo().await;
    let proxy = start(&["wasi"], &echo_route("all", "/*", "[\"wasi\"]")).await;
    for _ in 0..3 {
        let response = proxy
            .send(with_header(get("/"), "x-origin", origin.address()))
            .await;
        assert_eq!(response.status, 200);
        // The clocks are harmless; all the rest was refused.
        assert_eq!(response.text(), "clock timer");
    }
    assert_eq!(origin.accepted(), 0);
}

#[tokio::test]
async fn what_it_prints_is_in_the_log() {
    let proxy = start(&["wasi"], &echo_route("all", "/*", "[\"wasi\"]")).await;
    proxy.get("/").await;
    for (text, level) in [
        ("a line on standard output", "INFO"),
        ("a line on standard error", "WARN"),
    ] {
        let line = proxy.log_line(text, |line| line.says(text)).await;
        assert_eq!(line.field("plugin").as_deref(), Some("wasi"));
        assert_eq!(line.field("level").as_deref(), Some(level));
    }
}

#[tokio::test]
async fn plugins_that_wait_do_not_hold_up_their_worker() {
    let proxy = start(&["wasi"], &one_worker("10s")).await;
    let mut sleeping = JoinSet::new();
    let start = Instant::now();
    for _ in 0..8 {
        let mut client = proxy.client().await;
        let request = with_header(get("/wasi"), "x-wasi", "1000");
        sleeping.spawn(async move { client.send(request).await });
    }
    let mut others = 0;
    while sleeping.try_join_next().transpose().unwrap().is_none() {
        assert_eq!(proxy.get("/good").await.status, 200);
        others += 1;
    }
    for response in sleeping.join_all().await {
        assert_eq!(response.text(), "slept");
    }
    assert!(others > 1, "{others} requests beside those that wait");
    // One after the other they would take eight seconds.
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_plugin_that_can_wait_has_a_deadline_too() {
    let proxy = start(&["wasi"], &one_worker("100ms")).await;
    for (what, kind) in [
        ("60000", "deadline"),
        ("spin", "deadline"),
        ("trap", "trap"),
    ] {
        let start = Instant::now();
        let response = proxy.send(with_header(get("/wasi"), "x-wasi", what)).await;
        assert_eq!(response.status, 503, "{what}");
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        let failures = format!("tidegate_plugin_failures_total{{plugin=\"wasi\",kind={kind:?}}}");
        assert!(proxy.metric(&failures).await > 0.0, "{what}");
        assert_eq!(proxy.get("/good").await.status, 200, "after {what}");
        let again = proxy.send(with_header(get("/wasi"), "x-wasi", "1")).await;
        assert_eq!(again.text(), "slept", "after {what}");
    }
}
