//! A plugin that wants more and more gets no more than its share, and the proxy goes on.

use crate::harness::{get, with_header};

use super::load::{Load, ok};
use super::support::{echo_route, echoed, memory, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaking_instance_is_replaced_before_it_fails() {
    let config = echo_route("all", "/*", "[\"leak\"]");
    let proxy = start(&["leak"], &config).await;
    // 64 KiB each: 32 MiB are used up by 512 requests to one instance.
    let mut client = proxy.client().await;
    let mut replaced = 0;
    let mut before = 0;
    for _ in 0..2000 {
        let response = client.get("/").await;
        assert_eq!(response.status, 200);
        let calls = echoed(&response.json(), "x-calls").unwrap();
        let calls: usize = calls.parse().unwrap();
        replaced += usize::from(calls < before);
        before = calls;
    }
    assert!(replaced >= 1, "no instance was replaced");
    let failures = r#"tidegate_plugin_failures_total{plugin="leak"}"#;
    assert_eq!(proxy.metric(failures).await, 0.0);

    let load = Load::start(&proxy, 8, || get("/"), ok);
    load.goes_on(2000).await;
    load.end().await.assert_whole();
    assert_eq!(proxy.metric(failures).await, 0.0);
    println!("{} bytes in use", memory(&proxy));
}

#[tokio::test]
async fn a_flood_of_lines_and_series_is_cut() {
    let config = format!(
        "[plugins]\nallow = [\"log\", \"metrics\", \"clock\", \"random\", \"attributes\", \"limiter\", \"crypto\"]\ncache = \"off\"\ndeadline = \"10s\"\n{}",
        echo_route("all", "/*", "[\"flood\"]")
    );
    let proxy = start(&["flood"], &config).await;
    let flood = || with_header(get("/"), "x-flood", "1");
    let first = proxy.send(flood()).await;
    assert_eq!(first.status, 200);
    assert_eq!(echoed(&first.json(), "x-series").as_deref(), Some("1000"));
    // The series that are there stay in use.
    let second = proxy.send(flood()).await;
    assert_eq!(echoed(&second.json(), "x-series").as_deref(), Some("1000"));
    assert_eq!(
        proxy.metric("tidegate_plugin_flood_seen_total").await,
        2000.0
    );

    let lines = proxy.written().matches("flood line").count();
    assert!((100..5000).contains(&lines), "{lines} of 20000 lines");
    // What was left out is counted, before the next line that has a place.
    let line = proxy
        .log_line("a count of what was left out", |line| {
            line.text.contains("too many log lines")
        })
        .await;
    assert_eq!(line.field("plugin").as_deref(), Some("flood"));
    let left_out: usize = line.field("left_out").unwrap().parse().unwrap();
    assert!(left_out > 0);
}

/// Nothing of a request is there for the next, and what is between its phases is its own.
#[tokio::test]
async fn with_reuse_off_each_request_has_an_instance_of_its_own() {
    let route = echo_route("all", "/*", "[\"leak\"]");
    let proxy = start(&["leak"], &format!("[plugin.leak]\nreuse = false\n{route}")).await;
    let mut client = proxy.client().await;
    for _ in 0..5 {
        let response = client.get("/").await;
        let request = echoed(&response.json(), "x-calls");
        assert_eq!(
            (request.as_deref(), response.header("x-calls")),
            (Some("1"), "1")
        );
    }
}
