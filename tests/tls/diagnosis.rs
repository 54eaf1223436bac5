//! A handshake that fails is told to whoever runs the listener: the client, the name and the cause.

use super::proxy;
use crate::harness::{Authority, Line, Proxy, TlsClient};

/// The line about a client that was not served, for this cause.
async fn told(proxy: &Proxy, cause: &'static str) -> Line {
    let is_it =
        move |line: &Line| line.text.contains("no TLS with a client") && line.text.contains(cause);
    proxy.log_line(cause, is_it).await
}

#[tokio::test]
async fn versions_without_one_in_common() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "min_version = \"1.3\"").await;
    let old = TlsClient::new(&authority, "a.example").tls12();
    old.connect(proxy.address()).await.unwrap_err();
    let line = told(&proxy, "none of the versions").await;
    for part in ["127.0.0.1", "a.example", "web", "min_version", "INFO"] {
        assert!(
            line.text.contains(part),
            "{part} is missing in {}",
            line.text
        );
    }
}

#[tokio::test]
async fn a_client_that_does_not_trust_us() {
    let proxy = proxy(&Authority::new(), "").await;
    let stranger = TlsClient::new(&Authority::named("another"), "a.example");
    stranger.connect(proxy.address()).await.unwrap_err();
    told(&proxy, "does not trust our certificate").await;
}

#[tokio::test]
async fn certificates_of_clients() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "client_certificates = { ca = \"ca.pem\" }").await;
    let nobody = TlsClient::new(&authority, "a.example").tls12();
    nobody.connect(proxy.address()).await.unwrap_err();
    told(&proxy, "the client has sent no certificate").await;
    let other = Authority::named("test authority").issue_client("alice");
    let stranger = nobody.showing(&other);
    stranger.connect(proxy.address()).await.unwrap_err();
    told(&proxy, "client's certificate").await;
}

/// Anybody can cause such lines.
#[tokio::test]
async fn there_are_only_so_many_lines() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "min_version = \"1.3\"").await;
    let old = TlsClient::new(&authority, "a.example").tls12();
    for _ in 0..200 {
        old.connect(proxy.address()).await.unwrap_err();
    }
    proxy.metric_becomes(&super::refused("tls"), 200.0).await;
    assert!(proxy.log_count("no TLS with a client: not TLS as it is spoken here") < 200);
}
