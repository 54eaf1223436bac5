//! Which peer of an upstream gets a request.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use crate::harness::{
    Origin, Proxy, Seen, Wire, get, post, refusing_address, route_to_peers, upstream,
};

fn total(origins: &[&Origin]) -> usize {
    origins.iter().map(|origin| origin.seen().len()).sum()
}

#[tokio::test]
async fn peers_take_turns() {
    let (a, b, c) = (
        Origin::echo().await,
        Origin::echo().await,
        Origin::echo().await,
    );
    let peers = format!("{:?}, {:?}, {:?}", a.address(), b.address(), c.address());
    let proxy = Proxy::start(&route_to_peers(&peers)).await;
    for _ in 0..4 {
        for _ in 0..3 {
            assert_eq!(proxy.get("/").await.status, 200);
        }
        let (a, b, c) = (a.seen().len(), b.seen().len(), c.seen().len());
        assert_eq!((a, b), (b, c), "each has had its turn");
    }
}

#[tokio::test]
async fn weights_are_shares() {
    let (one, three) = (Origin::echo().await, Origin::echo().await);
    let peers = format!(
        "{:?}, {{ address = {:?}, weight = 3 }}",
        one.address(),
        three.address()
    );
    let proxy = Proxy::start(&route_to_peers(&peers)).await;
    let mut client = proxy.client().await;
    for _ in 0..40 {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert_eq!((one.seen().len(), three.seen().len()), (10, 30));
}

/// Whose connection it is decides, also where a load balancer says so.
#[tokio::test]
async fn a_client_stays_with_its_peer() {
    let mut origins = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let answer = Response::new(Full::new(Bytes::from_static(name.as_bytes())));
        origins.push(Origin::answering(move |_| answer.clone()).await);
    }
    let peers: Vec<&str> = origins.iter().map(Origin::address).collect();
    let balanced = upstream(&format!(
        "peers = {peers:?}\nbalance = {{ hash = \"client.address\" }}"
    ));
    for proxied in [false, true] {
        let trust = match proxied {
            true => "proxy_protocol = { trust = [\"127.0.0.1\"] }",
            false => "",
        };
        let listener = format!("[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{trust}");
        let proxy = Proxy::start(&format!("{listener}\n{balanced}")).await;
        let mut used = BTreeSet::new();
        for client in 2..22 {
            let mut its = BTreeSet::new();
            for _ in 0..4 {
                let address = IpAddr::from([127, 0, 0, client]);
                let mut wire = match proxied {
                    true => proxy.wire().await,
                    false => Wire::connect_from(address, proxy.address()).await,
                };
                if proxied {
                    wire.send(format!("PROXY TCP4 {address} 192.0.2.1 4711 443\r\n"))
                        .await;
                }
                wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
                its.insert(wire.response().await.text().to_owned());
            }
            assert_eq!(its.len(), 1, "{client}: {its:?}");
            used.append(&mut its);
        }
        assert!(used.len() > 1, "{used:?}");
    }
}

#[tokio::test]
async fn a_dead_peer_costs_no_request() {
    let alive = Origin::echo().await;
    let peers = format!("{:?}, {:?}", refusing_address(), alive.address());
    let proxy = Proxy::start(&route_to_peers(&peers)).await;
    let mut client = proxy.client().await;
    for turn in 0..10 {
        assert_eq!(client.get("/").await.status, 200);
        // A body too: nothing of it was sent where nobody listens.
        let response = client.send(post("/", format!("{turn}"))).await;
        assert_eq!(
            (response.status, response.text()),
            (200, &*format!("{turn}"))
        );
    }
    assert_eq!(total(&[&alive]), 20);
}

#[tokio::test]
async fn one_attempt_means_one() {
    let alive = Origin::echo().await;
    let keys = format!(
        "peers = [{:?}, {:?}]\nattempts = 1",
        refusing_address(),
        alive.address()
    );
    let proxy = Proxy::start(&upstream(&keys)).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(proxy.get("/").await.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502]);
}

#[tokio::test]
async fn the_access_log_counts_attempts() {
    let alive = Origin::echo().await;
    let peers = format!("{:?}, {:?}", refusing_address(), alive.address());
    let proxy = Proxy::start(&route_to_peers(&peers)).await;
    let mut attempts = Vec::new();
    for path in ["/a", "/b"] {
        proxy.get(path).await;
        let line = proxy.access_line(path).await;
        attempts.push(line.field("attempts").unwrap());
    }
    attempts.sort();
    assert_eq!(attempts, ["1", "2"]);
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced() {
    // Answers once on each connection and closes it without a word, as an origin does at its own
    // idle timeout.
    let origin = Origin::raw(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut head = [0; 4096];
        if matches!(stream.read(&mut head).await, Ok(1..)) {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
        }
    })
    .await;
    let proxy = Proxy::start(&route_to_peers(&format!("{:?}", origin.address()))).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        assert_eq!(client.send(get("/")).await.text(), "ok");
    }
}

#[tokio::test]
async fn a_request_that_may_not_be_repeated_is_not() {
    // The first connection of each peer dies after it got the request.
    let dying = Origin::raw(|mut stream| async move {
        use tokio::io::AsyncReadExt;
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    let alive = Origin::echo().await;
    let peers = format!("{:?}, {:?}", dying.address(), alive.address());
    let proxy = Proxy::start(&route_to_peers(&peers)).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(proxy.send(post("/", "once")).await.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502]);
    let bodies: Vec<_> = alive
        .seen()
        .into_iter()
        .map(|Seen { body, .. }| body)
        .collect();
    assert_eq!(bodies, ["once", "once"]);
}
