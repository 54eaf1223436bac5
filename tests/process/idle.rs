//! A proxy that has nothing to do does nothing.

use std::time::Duration;

use crate::harness::{ECHO, Proxy};

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
