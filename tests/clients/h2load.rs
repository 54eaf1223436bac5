//! h2load, the witness for many requests at once: thousands of them on several connections, all of which are
//! answered, in either protocol.

use std::process::Command;

use super::proxy;
use crate::harness::{Authority, Origin, Proxy, route_to, run, tool};

/// Sends so many requests on 8 connections, and sees that all are answered with success in this protocol.
async fn all_succeed(proxy: &Proxy, count: u32, protocol: &str, arguments: &[&str]) {
    let Some(program) = tool("h2load") else {
        return;
    };
    let mut h2load = Command::new(program);
    h2load
        .current_dir(proxy.folder())
        .args(["--clients", "8", "--requests", &count.to_string()])
        // Seconds without progress, after which requests have failed.
        .args(["--connection-inactivity-timeout", "20"])
        .args(arguments)
        .arg(format!("https://{}/load", proxy.address()));
    let output = run(h2load).await.stdout;
    for said in [
        format!("Application protocol: {protocol}"),
        format!("{count} succeeded, 0 failed, 0 errored, 0 timeout"),
        format!("status codes: {count} 2xx, 0 3xx, 0 4xx, 0 5xx"),
    ] {
        assert!(output.contains(&said), "{arguments:?}: {output}");
    }
}

#[tokio::test]
async fn thousands_of_requests_succeed() {
    let origin = Origin::echo().await;
    let proxy = proxy(&Authority::new(), "", &route_to(&origin)).await;
    std::fs::write(proxy.folder().join("body"), vec![b'x'; 20_000]).unwrap();
    let many = ["--max-concurrent-streams", "20"];
    all_succeed(&proxy, 4000, "h2", &many).await;
    let uploads = [&many[..], &["--data", "body"]].concat();
    all_succeed(&proxy, 1000, "h2", &uploads).await;
    all_succeed(&proxy, 2000, "http/1.1", &["--h1"]).await;
    all_succeed(&proxy, 500, "http/1.1", &["--h1", "--data", "body"]).await;
    if tool("h2load").is_some() {
        let answered = "tidegate_requests_total{route=\"all\",status=\"2xx\"}";
        proxy.metric_becomes(answered, 7500.0).await;
        proxy.metric_becomes("tidegate_connections", 0.0).await;
        assert_eq!(proxy.metric("tidegate_tls_handshakes_total").await, 32.0);
    }
}
