//! The caps of a listener are for all of its addresses together, and stay with it.

use std::net::TcpListener;

use crate::harness::{Client, ECHO, Proxy, Wire};

/// Listener `name` with so many addresses.
fn config(name: &str, addresses: usize) -> String {
    let addresses = vec!["127.0.0.1:0"; addresses];
    format!(
        "[limits]\nconnections = 7\nconnections_per_address = 4\n[[listener]]\nname = {name:?}\naddress = {addresses:?}\n{ECHO}"
    )
}

fn refused(listener: &str, reason: &str) -> String {
    format!("tidegate_connections_refused_total{{listener=\"{listener}\",reason=\"{reason}\"}}")
}

#[tokio::test]
async fn several_addresses_give_a_client_no_more() {
    let proxy = Proxy::start(&config("web", 3)).await;
    let addresses = proxy.listening();
    let mut kept = Vec::new();
    for _ in 0..2 {
        for address in &addresses {
            kept.push(Wire::connect(address).await);
        }
    }
    let open = "tidegate_connections{listener=\"web\"}";
    proxy
        .metric_becomes(&refused("web", "per-address"), 2.0)
        .await;
    proxy.metric_becomes(open, 4.0).await;
    for (number, address) in (2..8).zip(addresses.iter().cycle()) {
        kept.push(Wire::connect_from([127, 0, 0, number].into(), address).await);
    }
    proxy
        .metric_becomes(&refused("web", "connections"), 3.0)
        .await;
    proxy.metric_becomes(open, 7.0).await;
}

#[tokio::test]
async fn a_reload_does_not_begin_to_count_anew() {
    let proxy = Proxy::start(&config("web", 1)).await;
    let first = proxy.address().to_owned();
    let mut kept = Vec::new();
    for _ in 0..4 {
        kept.push(Wire::connect(&first).await);
    }
    proxy.metric_becomes("tidegate_connections", 4.0).await;
    proxy.reload(&config("web", 2)).await;
    let added = proxy.listener("web").await;
    assert_ne!(added, first);
    Wire::connect(&added).await.rest().await;
    proxy
        .metric_becomes(&refused("web", "per-address"), 1.0)
        .await;
    // Another name changes nothing either, as long as it has one of its sockets.
    let fixed = free_address();
    proxy
        .reload(&config("web", 1).replace("127.0.0.1:0", &fixed))
        .await;
    proxy
        .reload(&config("new", 1).replace("127.0.0.1:0", &fixed))
        .await;
    Wire::connect(&fixed).await.rest().await;
    proxy
        .metric_becomes(&refused("new", "per-address"), 1.0)
        .await;
    drop(kept);
    proxy.metric_becomes("tidegate_connections", 0.0).await;
    assert_eq!(Client::h1(&fixed).await.get("/").await.status, 200);
}

/// An address that is free now; the system does not give it to somebody else for a while.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
