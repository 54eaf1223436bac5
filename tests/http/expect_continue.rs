//! `Expect: 100-continue`: a client that asks before it sends its body (RFC 9110 §10.1.1).

use crate::harness::{ECHO, Origin, Proxy, route_to};

const HEAD: &str =
    "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";

#[tokio::test]
async fn the_origins_consent_reaches_the_client() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send(HEAD).await;
    assert_eq!(wire.response().await.status, 100);
    wire.send("hello").await;
    let response = wire.response().await;
    assert_eq!((response.status, response.text()), (200, "hello"));
}

#[tokio::test]
async fn the_echo_consents_too() {
    let proxy = Proxy::start(ECHO).await;
    let mut wire = proxy.wire().await;
    wire.send(HEAD).await;
    assert_eq!(wire.response().await.status, 100);
    wire.send("hello").await;
    assert_eq!(wire.response().await.json()["body"], "hello");
}

#[tokio::test]
async fn an_answer_without_the_body_comes_at_once() {
    let proxy = Proxy::start("[[route]]\nrespond = { status = 403, body = \"no\" }").await;
    let mut wire = proxy.wire().await;
    wire.send(HEAD).await;
    let response = wire.response().await;
    assert_eq!((response.status, response.text()), (403, "no"));
    // A client that leaves the body out must not have its next request taken for it.
    assert_eq!(response.header("connection"), "close");
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(wire.rest().await.is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let proxy = Proxy::start(&format!("[limits]\nbody_bytes = 4\n{ECHO}")).await;
    let mut wire = proxy.wire().await;
    wire.send(HEAD).await;
    assert_eq!(wire.response().await.status, 413);
}
