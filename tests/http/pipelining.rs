//! Requests of HTTP/1.1 that come before the answer to the one before them (RFC 9112 §9.3.2).

use crate::harness::websocket::{ASKS, echoing};
use crate::harness::{Origin, Proxy, Wire, route_to};

const OPEN: &str = r#"tidegate_connections{listener="web"}"#;

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")
}

fn targets(origin: &Origin) -> Vec<String> {
    origin.seen().into_iter().map(|seen| seen.target).collect()
}

/// The bodies of the next answers, each of which is a 200.
async fn bodies(wire: &mut Wire, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        let response = wire.response().await;
        assert_eq!(response.status, 200);
        bodies.push(response.text().to_owned());
    }
    bodies
}

#[tokio::test]
async fn a_request_that_comes_while_another_is_served_waits_for_it() {
    let (origin, gate) = Origin::held().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send(get("/1")).await;
    origin.has_seen(1).await;
    wire.send(get("/2")).await;
    wire.send("GET /3 HT").await;
    gate.add_permits(1);
    assert_eq!(bodies(&mut wire, 1).await, ["late"]);
    origin.has_seen(2).await;
    wire.send("TP/1.1\r\nhost: a\r\n\r\n").await;
    gate.add_permits(2);
    assert_eq!(bodies(&mut wire, 2).await, ["late", "late"]);
    assert_eq!(targets(&origin), ["/1", "/2", "/3"]);
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_order() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    let posts = "POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\none\
         POST /2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\nx: y\r\n\r\n";
    wire.send(format!("{posts}{}", get("/3"))).await;
    assert_eq!(bodies(&mut wire, 3).await, ["one", "two", ""]);
    assert_eq!(targets(&origin), ["/1", "/2", "/3"]);
    // The connection goes on.
    wire.send(get("/4")).await;
    assert_eq!(wire.response().await.status, 200);
}

/// Old clients send one after a body (RFC 9112 §2.2).
#[tokio::test]
async fn an_empty_line_after_a_body_is_passed_over() {
    let (origin, gate) = Origin::held().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send("POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi")
        .await;
    origin.has_seen(1).await;
    wire.send("\r\n").await;
    gate.add_permits(1);
    assert_eq!(bodies(&mut wire, 1).await, ["late"]);
    wire.send("\r").await;
    wire.send(format!("\n{}", get("/2"))).await;
    gate.add_permits(1);
    assert_eq!(bodies(&mut wire, 1).await, ["late"]);
    assert_eq!(targets(&origin), ["/1", "/2"]);
}

#[tokio::test]
async fn a_client_that_has_sent_all_its_requests_may_end_its_side() {
    let (origin, gate) = Origin::held().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send(get("/1") + &get("/2")).await;
    wire.finish().await;
    origin.has_seen(1).await;
    gate.add_permits(2);
    assert_eq!(bodies(&mut wire, 2).await, ["late", "late"]);
    assert!(wire.rest().await.is_empty());
    proxy.metric_becomes(OPEN, 0.0).await;
}

/// Nobody waits for the answer: an empty line is no request.
#[tokio::test]
async fn a_client_that_leaves_after_an_empty_line_is_gone() {
    let (origin, _gate) = Origin::held().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send(get("/1") + "\r\n").await;
    origin.has_seen(1).await;
    drop(wire);
    origin.is_left().await;
    proxy.metric_becomes(OPEN, 0.0).await;
}

#[tokio::test]
async fn an_upgrade_may_follow_a_request_and_its_tunnel_gets_the_rest() {
    let origin = echoing().await;
    let echo =
        "[[route]]\nname = \"echo\"\nmatch = { path = \"/echo\" }\nrespond = { echo = true }\n";
    let proxy = Proxy::start(&format!("{echo}{}", route_to(&origin))).await;
    let mut wire = proxy.wire().await;
    let upgrade = format!("GET /ws HTTP/1.1\r\n{ASKS}\r\n");
    wire.send(format!("{}{upgrade}{}", get("/echo"), get("/tunnelled")))
        .await;
    assert_eq!(wire.response().await.status, 200);
    assert_eq!(wire.response_to_head().await.status, 101);
    wire.finish().await;
    assert_eq!(wire.rest().await, get("/tunnelled"));
}

#[tokio::test]
async fn requests_after_the_last_of_a_connection_are_left_to_another() {
    let origin = Origin::echo().await;
    let limits = "[limits]\nrequests_per_connection = 2\n";
    let proxy = Proxy::start(&format!("{limits}{}", route_to(&origin))).await;
    let mut wire = proxy.wire().await;
    wire.send(get("/x").repeat(3)).await;
    bodies(&mut wire, 2).await;
    assert!(wire.rest().await.is_empty());
    assert_eq!(origin.seen().len(), 2);
}

/// Of 48 MiB that wait, the proxy holds some kilobytes for each client; the rest waits with them.
#[tokio::test]
async fn hundreds_of_requests_wait_outside() {
    const CLIENTS: usize = 20;
    const REQUESTS: usize = 600;
    let (origin, gate) = Origin::held().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let before = proxy.resident_bytes();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut wire = proxy.wire().await;
        clients.push(tokio::spawn(async move {
            let request = format!(
                "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
                "y".repeat(4000)
            );
            wire.send(request.repeat(REQUESTS)).await;
            bodies(&mut wire, REQUESTS).await.len()
        }));
    }
    // All but the last of each wait.
    for step in 1..=REQUESTS {
        origin.has_seen(CLIENTS).await;
        origin.forget();
        if step % 100 == 1 {
            let grown = proxy.resident_bytes().saturating_sub(before);
            assert!(grown < 24 << 20, "{grown} bytes at {step}");
        }
        gate.add_permits(CLIENTS);
    }
    for client in clients {
        assert_eq!(client.await.unwrap(), REQUESTS);
    }
}
