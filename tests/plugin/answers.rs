//! Whatever a plugin answers or asks for, the client and the upstream get HTTP.

use crate::harness::{Origin, Proxy, Response, Wire, get, route_to, with_header};

use super::support::{echo_route, start};

async fn lied_to(config: &str) -> Proxy {
    start(&["liar"], config).await
}

async fn lie(proxy: &Proxy, lie: &str) -> Response {
    proxy.send(with_header(get("/"), "x-lie", lie)).await
}

/// The answers that the guest got, line by line: what it asked for, a space, the answer.
fn answer<'a>(report: &'a str, asked: &str) -> Vec<&'a str> {
    let prefix = format!("{asked} ");
    let lines = report.lines().map(str::trim);
    lines
        .filter_map(|line| line.strip_prefix(&prefix))
        .collect()
}

#[tokio::test]
async fn answers_that_make_no_sense_follow_the_policy() {
    let proxy = lied_to(&echo_route("all", "/*", "[\"liar\"]")).await;
    for what in [
        "respond",
        "fail",
        "status",
        "informational",
        "framing",
        "split",
        "body",
        "bodiless",
        "respond-late",
    ] {
        let response = lie(&proxy, what).await;
        assert_eq!(response.status, 503, "{what}");
        assert_eq!(response.text(), "503 service unavailable\n", "{what}");
        assert_eq!(proxy.get("/").await.status, 200, "after {what}");
    }
    let failures = r#"tidegate_plugin_failures_total{plugin="liar",kind="error"}"#;
    assert_eq!(proxy.metric(failures).await, 9.0);
}

#[tokio::test]
async fn edits_that_would_break_a_message_are_refused() {
    let proxy = lied_to(&echo_route("all", "/*", "[\"liar\"]")).await;
    let response = lie(&proxy, "edits").await;
    assert_eq!(response.status, 200);
    let report = response.text();
    let is = |asked: &str, name: &str| {
        let answers = answer(report, asked);
        assert!(!answers.is_empty(), "nothing about {asked:?} in {report}");
        assert!(
            answers.iter().all(|one| *one == name),
            "{asked:?}: {answers:?}"
        );
    };
    for name in ["content-length", "Transfer-Encoding", "connection", "host"] {
        is(name, "forbidden");
    }
    for name in ["a b", "a:b", "a\\r\\nb", "ä", "metric"] {
        is(name, "invalid-name");
    }
    for value in ["a\\r\\nb: c", "a\\nb", "a\\0b"] {
        is(value, "invalid-value");
    }
    is("huge", "limit-reached");
    for name in ["client.address", "request.id", "route"] {
        is(name, "forbidden");
    }
    is("Upper", "invalid-name");
}

#[tokio::test]
async fn a_head_cannot_grow_beyond_its_limits() {
    let proxy = lied_to(&echo_route("all", "/*", "[\"liar\"]")).await;
    let response = lie(&proxy, "many").await;
    assert_eq!(response.status, 200);
    let report = response.text();
    let taken: usize = answer(report, "taken")[0].parse().unwrap();
    // The default of `header_count` is 100, and the client sent a few.
    assert!((90..100).contains(&taken), "{report}");
    assert_eq!(answer(report, "then"), ["limit-reached"], "{report}");
}

#[tokio::test]
async fn a_response_keeps_its_frame() {
    let origin = Origin::echo().await;
    let route = route_to(&origin).replace("name = \"all\"", "name = \"all\"\nplugins = [\"liar\"]");
    let proxy = lied_to(&route).await;
    let mut wire = Wire::connect(proxy.address()).await;
    for _ in 0..2 {
        wire.send(
            "POST / HTTP/1.1\r\nhost: a\r\nx-lie: edits-late\r\ncontent-length: 4\r\n\r\nbody",
        )
        .await;
        let response = wire.response().await;
        assert_eq!(response.status, 200);
        assert_eq!(response.text(), "body");
        assert_eq!(response.header("x-b"), "");
        assert_eq!(
            response.header("x-report"),
            "0 invalid-argument; 99 invalid-argument; 101 invalid-argument; 204 invalid-argument; \
             600 invalid-argument; 65535 invalid-argument; content-length forbidden; split invalid-value"
        );
    }
}
