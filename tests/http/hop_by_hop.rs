//! Fields that a client says are about its connection: they end here, and only they.

use crate::harness::{Origin, Proxy, Wire, route_to};
use crate::plugin::support::{bundled, peer, route_through, start_with};

const SETS_X_USER: &str =
    r#"[{ use = "headers", config = { request = [{ set = "x-user", value = "alice" }] } }]"#;

async fn status(wire: &mut Wire, fields: &str) -> u16 {
    wire.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
        .await;
    wire.response().await.status
}

#[tokio::test]
async fn what_a_plugin_says_cannot_be_taken_away() {
    let origin = Origin::echo().await;
    let config = route_through(SETS_X_USER, &peer(&origin));
    let proxy = start_with(&[("headers.wasm", bundled("headers"))], &config).await;
    let fields =
        "connection: x-user, x-mine, close\r\nx-user: mallory\r\nx-mine: 1\r\nx-other: 2\r\n";
    assert_eq!(status(&mut proxy.wire().await, fields).await, 200);
    let seen = &origin.seen()[0];
    assert_eq!(seen.header("x-user"), "alice");
    assert_eq!(seen.header("x-mine"), "");
    assert_eq!(seen.header("x-other"), "2");
}

/// Neither a client nor somebody behind a proxy that passes the field on can become somebody else so.
#[tokio::test]
async fn what_the_proxy_goes_by_cannot_be_taken_away() {
    let origin = Origin::echo().await;
    for trusted in ["", "trusted_proxies = [\"127.0.0.1\"]"] {
        let listener =
            format!("[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{trusted}\n");
        let proxy = Proxy::start(&(listener + &route_to(&origin))).await;
        let names = [
            "x-forwarded-for",
            "X-Forwarded-Proto",
            "x-real-ip",
            "forwarded",
            "x-request-id",
            "host",
            "content-length",
            "\"x-forwarded-for\"",
        ];
        for name in names {
            let fields = format!("connection: {name}\r\nx-forwarded-for: 203.0.113.7\r\n");
            let answer = status(&mut proxy.wire().await, &fields).await;
            assert_eq!(answer, 400, "{name}");
        }
        let refused = "tidegate_requests_refused_total{reason=\"malformed\"}";
        assert_eq!(proxy.metric(refused).await, names.len() as f64);
    }
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn a_long_list_of_names_is_a_list_of_names() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let names: Vec<_> = (0..2000).map(|n| format!("x-{n}")).collect();
    let fields = format!("connection: {}\r\nx-1999: 1\r\n", names.join(","));
    assert_eq!(status(&mut proxy.wire().await, &fields).await, 200);
    assert_eq!(origin.seen()[0].header("x-1999"), "");
}
