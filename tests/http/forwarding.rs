//! For whom a request is: who may say so, and what the upstream is told.

use std::collections::HashSet;
use std::time::Duration;

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

/// All that `client_address` can be.
const FIELDS: [&str; 5] = [
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
];

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
        let others = FIELDS.into_iter().filter(|other| *other != field);
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

/// What a trusted proxy has passed on unseen, of all that a client can say.
#[tokio::test]
async fn what_a_trusted_proxy_does_not_write_is_not_passed_on() {
    for field in FIELDS {
        let (origin, proxy) = believing(field).await;
        proxy.send(boastful()).await;
        let seen = &origin.seen()[0];
        let (list, host, proto, port) = match field {
            "x-forwarded-for" => ("6.6.6.6, 127.0.0.1", "evil.example", "https", "443"),
            "forwarded" => ("6.6.6.6, 127.0.0.1", "test.example", "http", ""),
            _ => ("6.6.6.6, 127.0.0.1", "test.example", "https", ""),
        };
        assert_eq!(seen.header("x-forwarded-for"), list, "{field}");
        assert_eq!(seen.header("x-forwarded-host"), host, "{field}");
        assert_eq!(seen.header("x-forwarded-proto"), proto, "{field}");
        assert_eq!(seen.header("x-forwarded-port"), port, "{field}");
        let mut dropped = vec!["x_forwarded_for", "true_client_ip"];
        let others = ["forwarded", "true-client-ip", "cf-connecting-ip"];
        dropped.extend(others.into_iter().filter(|other| *other != field));
        for name in dropped {
            assert_eq!(seen.header(name), "", "{name} with {field}");
        }
    }
}

/// Each kind with values that could be read in two ways, or as somebody else.
#[tokio::test]
async fn what_is_not_an_address_names_nobody() {
    let one: &[(&[&str], &str)] = &[
        (&["[2001:db8::7]:4711"], "2001:db8::7"),
        (&["[2001:db8::7]"], "2001:db8::7"),
        (&["2001:db8::7"], "2001:db8::7"),
        (&["::ffff:203.0.113.7"], "203.0.113.7"),
        (&["203.0.113.7:4711"], "203.0.113.7"),
        (&[" 203.0.113.7\t"], "203.0.113.7"),
        // The one field is there, and does not say who.
        (&["203.0.113.7", "203.0.113.7"], "127.0.0.1"),
        (&["203.0.113.7, 6.6.6.6"], "127.0.0.1"),
        (&["203.0.113.7,"], "127.0.0.1"),
        (&["0xcb.0.113.7"], "127.0.0.1"),
        (&["203.0.113.007"], "127.0.0.1"),
        (&["3405803783"], "127.0.0.1"),
        (&["203.0.113.7:65536"], "127.0.0.1"),
        (&["[203.0.113.7"], "127.0.0.1"),
        (&["localhost"], "127.0.0.1"),
        (&[""], "127.0.0.1"),
    ];
    for field in ["x-real-ip", "true-client-ip", "cf-connecting-ip"] {
        names(field, one).await;
    }
    let list: &[(&[&str], &str)] = &[
        (&["6.6.6.6, [2001:db8::7]:4711, 10.1.1.1"], "2001:db8::7"),
        (&["6.6.6.6", "203.0.113.7", "10.1.1.1"], "203.0.113.7"),
        (&["6.6.6.6", "203.0.113.7,"], "127.0.0.1"),
        (&["203.0.113.7, unknown, 10.1.1.1"], "10.1.1.1"),
        (&["203.0.113.7, _hidden"], "127.0.0.1"),
        (&["203.0.113.7, for=6.6.6.6"], "127.0.0.1"),
        (&["203.0.113.7;6.6.6.6"], "127.0.0.1"),
    ];
    names("x-forwarded-for", list).await;
    let elements: &[(&[&str], &str)] = &[
        (
            &["for=6.6.6.6, for=\"[2001:db8::7]:4711\", for=10.1.1.1"],
            "2001:db8::7",
        ),
        (&["for=6.6.6.6", "For=203.0.113.7;by=_x"], "203.0.113.7"),
        (&["for=203.0.113.7, for=unknown"], "127.0.0.1"),
        (
            &["for=203.0.113.7, for=\"_hidden\", for=10.1.1.1"],
            "10.1.1.1",
        ),
        (&["for=203.0.113.7, for=_SEVKISEK:4711"], "127.0.0.1"),
        (&["for=[2001:db8::7]"], "127.0.0.1"),
        (&["for=203.0.113.7;for=6.6.6.6"], "127.0.0.1"),
        // A quote that a client opens does not reach what the proxy adds.
        (&["for=\"6.6.6.6", "for=203.0.113.7"], "203.0.113.7"),
        (&["for=\"6.6.6.6, for=203.0.113.7"], "203.0.113.7"),
        (&["203.0.113.7"], "127.0.0.1"),
    ];
    names("forwarded", elements).await;
}

/// The client that these values of the field name, in the access log and to the upstream.
async fn names(field: &'static str, cases: &[(&[&str], &str)]) {
    let (origin, proxy) = believing(field).await;
    for (number, (values, client)) in cases.iter().enumerate() {
        let path = format!("/{number}");
        let request = values.iter().fold(get(&path), |request, value| {
            with_header(request, field, value)
        });
        proxy.send(request).await;
        let line = proxy.access_line(&path).await;
        let logged = line.field("client");
        assert_eq!(logged.as_deref(), Some(*client), "{field}: {values:?}");
        let told = origin.seen()[number].header("x-real-ip");
        assert_eq!(told, *client, "{field}: {values:?}");
    }
}

/// Lists as long as a head may be: each is read, and none for long.
#[tokio::test]
async fn long_lists_cost_little() {
    for (field, element) in [
        ("x-forwarded-for", "10.1.1.1,"),
        ("forwarded", "for=10.1.1.1,"),
        ("forwarded", "for=10.1.1.1;"),
        ("forwarded", "a;"),
        ("true-client-ip", "10.1.1.1,"),
        ("x-forwarded-for", ","),
        ("forwarded", "\","),
    ] {
        let (_origin, proxy) = believing(field).await;
        let value = element.repeat(30_000 / element.len());
        let mut client = proxy.client().await;
        let before = proxy.cpu_time();
        for _ in 0..20 {
            let answer = client.send(with_header(get("/"), field, &value)).await;
            assert_eq!(answer.status, 200, "{field}: {element}");
        }
        let spent = proxy.cpu_time().saturating_sub(before);
        assert!(
            spent < Duration::from_secs(4),
            "{field}, {element}: {spent:?}"
        );
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
