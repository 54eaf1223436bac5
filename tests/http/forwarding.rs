//! For whom a request is: who may say so, and what the upstream is told.

use std::collections::HashSet;

use crate::harness::{ECHO, Origin, Proxy, Request, get, route_to, with_header};

/// All that a client could say for itself.
fn boastful() -> Request {
    [
        ("forwarded", "for=6.6.6.6"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "6.6.6.6"),
        ("true-client-ip", "6.6.6.6"),
        ("cf-connecting-ip", "6.6.6.6"),
        ("client-cert", ":AAAA:"),
        ("x-client-cert-subject", "CN=admin"),
        ("x_forwarded_for", "6.6.6.6"),
        ("true_client_ip", "6.6.6.6"),
        ("x-request-id", "chosen-by-the-client"),
    ]
    .into_iter()
    .fold(get("/"), |request, (name, value)| {
        with_header(request, name, value)
    })
}

const NEVER_BELIEVED_OF_A_CLIENT: [&str; 8] = [
    "forwarded",
    "x-forwarded-port",
    "true-client-ip",
    "cf-connecting-ip",
    "client-cert",
    "x-client-cert-subject",
    "x_forwarded_for",
    "true_client_ip",
];

async fn trusting(networks: &str) -> (Origin, Proxy) {
    let origin = Origin::echo().await;
    let config = format!(
        "
[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
trusted_proxies = [{networks}]
{}",
        route_to(&origin)
    );
    let proxy = Proxy::start(&config).await;
    (origin, proxy)
}

#[tokio::test]
async fn the_upstream_is_told_for_whom() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    proxy
        .send(with_header(get("/"), "host", "www.example.com:8080"))
        .await;
    let seen = &origin.seen()[0];
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.header("x-forwarded-proto"), "http");
    assert_eq!(seen.header("x-forwarded-host"), "www.example.com:8080");
    assert_eq!(seen.header("host"), "www.example.com:8080");
    assert!(!seen.header("x-request-id").is_empty());
}

#[tokio::test]
async fn what_a_client_says_for_itself_is_dropped() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    proxy.send(boastful()).await;
    proxy.h2_client().await.send(boastful()).await;
    for seen in origin.seen() {
        assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
        assert_eq!(seen.header("x-forwarded-proto"), "http");
        assert_eq!(seen.header("x-forwarded-host"), "test.example");
        assert_eq!(seen.header("x-real-ip"), "127.0.0.1");
        for name in NEVER_BELIEVED_OF_A_CLIENT {
            assert_eq!(seen.header(name), "", "{name}");
        }
        assert_ne!(seen.header("x-request-id"), "chosen-by-the-client");
    }
    assert_eq!(
        proxy.access_line("/").await.field("client").as_deref(),
        Some("127.0.0.1")
    );
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let (origin, proxy) = trusting("\"127.0.0.0/8\"").await;
    proxy.send(boastful()).await;
    let seen = &origin.seen()[0];
    assert_eq!(seen.header("x-forwarded-for"), "6.6.6.6, 127.0.0.1");
    assert_eq!(seen.header("x-forwarded-proto"), "https");
    assert_eq!(seen.header("x-forwarded-host"), "evil.example");
    assert_eq!(seen.header("x-request-id"), "chosen-by-the-client");
    assert_eq!(
        proxy.access_line("/").await.field("client").as_deref(),
        Some("6.6.6.6")
    );
}

#[tokio::test]
async fn a_proxy_that_is_not_in_the_list_is_not_believed() {
    let (origin, proxy) = trusting("\"10.0.0.0/8\", \"::1/128\"").await;
    proxy.send(boastful()).await;
    assert_eq!(origin.seen()[0].header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(
        proxy.access_line("/").await.field("client").as_deref(),
        Some("127.0.0.1")
    );
}

#[tokio::test]
async fn the_client_is_the_rightmost_address_that_is_not_trusted() {
    let (_origin, proxy) = trusting("\"127.0.0.1\", \"10.0.0.0/8\"").await;
    for (path, fields, client) in [
        ("/a", vec!["6.6.6.6, 203.0.113.7, 10.1.1.1"], "203.0.113.7"),
        (
            "/b",
            vec!["6.6.6.6", "203.0.113.7", "10.1.1.1, 10.1.1.2"],
            "203.0.113.7",
        ),
        ("/c", vec!["203.0.113.7:4711"], "203.0.113.7"),
        ("/d", vec!["[2001:db8::7]:4711"], "2001:db8::7"),
        ("/e", vec!["203.0.113.7, nonsense"], "127.0.0.1"),
        ("/f", vec![], "127.0.0.1"),
    ] {
        let request = fields.iter().fold(get(path), |request, value| {
            with_header(request, "x-forwarded-for", value)
        });
        proxy.send(request).await;
        let line = proxy.access_line(path).await;
        assert_eq!(line.field("client").as_deref(), Some(client), "{fields:?}");
    }
}

/// A proxy that believes one field, and an origin behind it.
async fn believing(field: &str) -> (Origin, Proxy) {
    let origin = Origin::echo().await;
    let config = format!(
        "
[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]
client_address = {field:?}
{}",
        route_to(&origin)
    );
    let proxy = Proxy::start(&config).await;
    (origin, proxy)
}

#[tokio::test]
async fn one_field_says_who_the_client_is() {
    for (field, value) in [
        ("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.1.1.1"),
        (
            "forwarded",
            "for=\"6.6.6.6\", for=203.0.113.7, for=10.1.1.1",
        ),
        ("x-real-ip", "203.0.113.7"),
        ("true-client-ip", "203.0.113.7"),
        ("cf-connecting-ip", "203.0.113.7"),
    ] {
        let (_origin, proxy) = believing(field).await;
        let others = [
            "x-forwarded-for",
            "forwarded",
            "x-real-ip",
            "true-client-ip",
            "cf-connecting-ip",
        ];
        let others = others.into_iter().filter(|other| *other != field);
        let request = others.fold(get("/said"), |request, other| {
            let lie = if other == "forwarded" {
                "for=6.6.6.6"
            } else {
                "6.6.6.6"
            };
            with_header(request, other, lie)
        });
        proxy.send(with_header(request, field, value)).await;
        let line = proxy.access_line("/said").await;
        assert_eq!(
            line.field("client").as_deref(),
            Some("203.0.113.7"),
            "{field}"
        );
        for (path, garbage) in [("/two", "203.0.113.7 203.0.113.8"), ("/none", "unknown")] {
            proxy.send(with_header(get(path), field, garbage)).await;
            let line = proxy.access_line(path).await;
            assert_eq!(
                line.field("client").as_deref(),
                Some("127.0.0.1"),
                "{field}"
            );
        }
    }
}

#[tokio::test]
async fn what_a_trusted_proxy_does_not_write_is_not_passed_on() {
    let (origin, proxy) = believing("true-client-ip").await;
    proxy.send(boastful()).await;
    let seen = &origin.seen()[0];
    assert_eq!(seen.header("true-client-ip"), "6.6.6.6");
    assert_eq!(seen.header("x-forwarded-proto"), "https");
    for name in [
        "forwarded",
        "cf-connecting-ip",
        "x_forwarded_for",
        "true_client_ip",
    ] {
        assert_eq!(seen.header(name), "", "{name}");
    }
}

#[tokio::test]
async fn forwarded_says_how_the_client_asked() {
    let (origin, proxy) = believing("forwarded").await;
    let value = "for=6.6.6.6;proto=http, for=203.0.113.7;proto=https;host=a.example, for=10.1.1.1";
    let request = with_header(get("/"), "forwarded", value);
    proxy
        .send(with_header(request, "x-forwarded-proto", "ftp"))
        .await;
    let seen = &origin.seen()[0];
    assert_eq!(seen.header("x-forwarded-proto"), "https");
    assert_eq!(seen.header("x-forwarded-host"), "a.example");
}

#[tokio::test]
async fn each_request_has_an_id_of_its_own() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        client.get("/").await;
    }
    let ids: HashSet<_> = origin
        .seen()
        .iter()
        .map(|seen| seen.header("x-request-id"))
        .collect();
    assert_eq!(ids.len(), 20);
    let logged = proxy.access_line("/").await.field("request_id").unwrap();
    assert!(ids.contains(&logged), "{logged}");
}

#[tokio::test]
async fn an_id_that_could_forge_a_log_is_not_taken() {
    let (origin, proxy) = trusting("\"127.0.0.1\"").await;
    let bad = ["a b", "a\"b", &"x".repeat(500), ""];
    for id in bad {
        proxy.send(with_header(get("/"), "x-request-id", id)).await;
        let sent = origin.seen().last().unwrap().header("x-request-id");
        assert!(
            !sent.is_empty() && !bad.contains(&sent.as_str()),
            "{sent:?}"
        );
    }
}

#[tokio::test]
async fn the_echo_shows_what_an_upstream_would_see() {
    let proxy = Proxy::start(ECHO).await;
    let echo = proxy.send(boastful()).await.json();
    let headers = &echo["headers"];
    assert_eq!(headers["x-forwarded-for"], serde_json::json!(["127.0.0.1"]));
    assert_eq!(headers["x-forwarded-proto"][0], "http");
    assert_eq!(headers["x-forwarded-host"][0], "test.example");
    assert_eq!(headers["x-real-ip"][0], "127.0.0.1");
}
