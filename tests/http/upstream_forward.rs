//! What an upstream is told about the client: `forward`.

use crate::harness::{Origin, Proxy, Seen, get, upstream, with_header};

/// All fields that tell something, as an upstream with these keys sees them.
async fn told(listener: &str, forward: &str) -> Seen {
    let origin = Origin::echo().await;
    let keys = upstream(&format!("peers = [{:?}]\n{forward}", origin.address()));
    let config =
        format!("[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{listener}\n{keys}");
    let proxy = Proxy::start(&config).await;
    let said = [
        ("host", "www.example.com:8080"),
        ("forwarded", "for=203.0.113.7"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-real-ip", "6.6.6.6"),
        ("true-client-ip", "6.6.6.6"),
        ("cf-connecting-ip", "6.6.6.6"),
    ];
    let request = said.iter().fold(get("/"), |request, (name, value)| {
        with_header(request, name, value)
    });
    proxy.send(request).await;
    origin.seen().remove(0)
}

const TRUSTING: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

#[tokio::test]
async fn the_default_is_x_forwarded() {
    let seen = told("", "").await;
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.header("x-real-ip"), "127.0.0.1");
    assert_eq!(seen.header("x-forwarded-host"), "www.example.com:8080");
    assert_eq!(seen.header("x-forwarded-proto"), "http");
    for field in ["forwarded", "true-client-ip", "cf-connecting-ip"] {
        assert_eq!(seen.header(field), "", "{field}");
    }
}

#[tokio::test]
async fn forwarded_has_an_element_for_the_sender() {
    let forward = "forward = [\"forwarded\"]";
    let element = "for=127.0.0.1;host=\"www.example.com:8080\";proto=http";
    let seen = told("", forward).await;
    assert_eq!(seen.header("forwarded"), element);
    for field in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-real-ip",
    ] {
        assert_eq!(seen.header(field), "", "{field}");
    }
    let believing = format!("{TRUSTING}\nclient_address = \"forwarded\"");
    let seen = told(&believing, forward).await;
    assert_eq!(
        seen.header("forwarded"),
        format!("for=203.0.113.7, {element}")
    );
    // A proxy that says it in another field has passed on what its client wrote: the list begins anew.
    let elsewhere = format!("{TRUSTING}\nclient_address = \"true-client-ip\"");
    let seen = told(&elsewhere, forward).await;
    assert_eq!(seen.header("forwarded"), format!("for=6.6.6.6, {element}"));
    let seen = told(&elsewhere, "").await;
    assert_eq!(seen.header("x-forwarded-for"), "6.6.6.6, 127.0.0.1");
}

#[tokio::test]
async fn fields_of_one_address_have_the_client_as_it_was_resolved() {
    let forward = "forward = [\"true-client-ip\", \"cf-connecting-ip\"]";
    for (listener, client) in [("", "127.0.0.1"), (TRUSTING, "203.0.113.7")] {
        let seen = told(listener, forward).await;
        assert_eq!(seen.header("true-client-ip"), client);
        assert_eq!(seen.header("cf-connecting-ip"), client);
    }
}

#[tokio::test]
async fn an_upstream_may_be_told_nothing() {
    let seen = told("", "forward = []").await;
    for field in [
        "forwarded",
        "x-forwarded-for",
        "x-real-ip",
        "x-forwarded-proto",
        "true-client-ip",
    ] {
        assert_eq!(seen.header(field), "", "{field}");
    }
}
