//! What plugins are told when an exchange is over.

use http_body_util::Full;
use serde_json::{Value, json};

use crate::harness::{Line, Origin, Proxy, get, post, refusing_address, request, with_header};

use super::support::{peer, route_through, start};

const EXCHANGES: &str = "tidegate_plugin_outcome_exchanges_total";

/// What the guest `outcome` wrote about the exchange with this path.
async fn outcome(proxy: &Proxy, path: &str) -> Value {
    let fits = |line: &Line| told(line).is_some_and(|told| told["path"] == path);
    let line = proxy
        .log_line(&format!("the outcome of {path}"), fits)
        .await;
    told(&line).unwrap()
}

/// The message of the plugin in a line of the log.
fn told(line: &Line) -> Option<Value> {
    let message = line.json()["fields"]["message"].as_str()?;
    serde_json::from_str(message).ok()
}

#[tokio::test]
async fn an_exchange_that_went_well_has_all_its_facts() {
    let origin = Origin::answering(|_| {
        let response = http::Response::builder().header("content-type", "text/x-test");
        response.body(Full::from("0123456789")).unwrap()
    })
    .await;
    let proxy = start(
        &["outcome"],
        &route_through("[\"outcome\"]", &peer(&origin)),
    )
    .await;
    for (path, h2) in [("/one", false), ("/two", true)] {
        let request = post(path, "hello");
        match h2 {
            true => proxy.h2_client().await.send(request).await,
            false => proxy.send(request).await,
        };
        let expected = json!({
            "status": 200, "request_bytes": 5, "response_bytes": 10, "attempts": 1,
            "upstream": "app", "peer": origin.address(), "problem": null, "path": path,
            "response_type": "text/x-test", "waited": true, "took": true,
        });
        assert_eq!(outcome(&proxy, path).await, expected);
    }
    assert_eq!(proxy.metric(EXCHANGES).await, 2.0, "once each");
}

#[tokio::test]
async fn what_bodies_became_is_what_is_counted() {
    let origin = Origin::echo().await;
    for mode in ["streaming", "buffer"] {
        let watch =
            format!("{{ mode = \"{mode}\", size = 100, action = \"append\", text = \"!!!\" }}");
        let plugins = format!(
            "[{{ use = \"body\", config = {{ request = {watch}, response = {watch} }} }}, \"outcome\"]"
        );
        let proxy = start(
            &["body", "outcome"],
            &route_through(&plugins, &peer(&origin)),
        )
        .await;
        assert_eq!(proxy.send(post("/", "hello")).await.text(), "hello!!!!!!");
        let outcome = outcome(&proxy, "/").await;
        // Read from the client; sent to the client.
        assert_eq!(
            (&outcome["request_bytes"], &outcome["response_bytes"]),
            (&json!(5), &json!(11))
        );
    }
}

#[tokio::test]
async fn a_reply_of_another_plugin_is_told_to_those_whose_turn_had_come() {
    let origin = Origin::echo().await;
    let refuse = r#"{ use = "body", config = { request = { mode = "buffer", size = 9, action = "respond", text = "no" } } }"#;
    let plugins = format!("[\"outcome\", {refuse}]");
    let proxy = start(
        &["body", "outcome"],
        &route_through(&plugins, &peer(&origin)),
    )
    .await;
    assert_eq!(proxy.send(post("/refused", "hello")).await.status, 403);
    let told = outcome(&proxy, "/refused").await;
    assert_eq!(
        (&told["status"], &told["response_bytes"]),
        (&json!(403), &json!(2))
    );
    assert_eq!(
        (&told["attempts"], &told["upstream"]),
        (&json!(0), &json!(null))
    );
    assert_eq!(told["problem"], json!(null));
    assert_eq!(told["waited"], json!(false));
}

#[tokio::test]
async fn answers_of_the_proxy_itself_are_told_too() {
    let config = r#"
[[route]]
plugins = ["outcome"]
respond = { body = "hi" }
"#;
    let proxy = start(&["outcome"], config).await;
    proxy.get("/fixed").await;
    let told = outcome(&proxy, "/fixed").await;
    assert_eq!(
        (&told["status"], &told["response_bytes"]),
        (&json!(200), &json!(2))
    );
    proxy.send(request("HEAD", "/head", "")).await;
    let told = outcome(&proxy, "/head").await;
    assert_eq!(
        (&told["status"], &told["response_bytes"]),
        (&json!(200), &json!(0))
    );
    assert_eq!(proxy.metric(EXCHANGES).await, 2.0);
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_problem_with_its_attempts() {
    let (one, two) = (refusing_address(), refusing_address());
    let upstream = format!("peers = [{one:?}, {two:?}]");
    let proxy = start(&["outcome"], &route_through("[\"outcome\"]", &upstream)).await;
    assert_eq!(proxy.get("/down").await.status, 502);
    let told = outcome(&proxy, "/down").await;
    assert_eq!(
        (&told["status"], &told["attempts"]),
        (&json!(502), &json!(2))
    );
    assert_eq!(told["upstream"], "app");
    let peer = told["peer"].as_str().unwrap();
    assert!(peer == one || peer == two, "{peer}");
    let line = proxy.access_line("/down").await;
    assert_eq!(
        told["problem"].as_str(),
        line.field("error").as_deref(),
        "as in the access log"
    );
    assert!(told["problem"].is_string());
    assert_eq!(told["waited"], json!(false));
}

#[tokio::test]
async fn a_client_that_leaves_is_a_problem_too() {
    let (origin, _gate) = Origin::held().await;
    let proxy = start(
        &["outcome"],
        &route_through("[\"outcome\"]", &peer(&origin)),
    )
    .await;
    let mut wire = proxy.wire().await;
    wire.send("GET /gone HTTP/1.1\r\nhost: a\r\n\r\n").await;
    origin.has_seen(1).await;
    drop(wire);
    let told = outcome(&proxy, "/gone").await;
    assert_eq!((&told["status"], &told["attempts"]), (&json!(0), &json!(1)));
    assert!(
        told["problem"].as_str().unwrap().starts_with("client: "),
        "{told}"
    );
    assert_eq!(told["response_type"], json!(null));
    assert_eq!(proxy.metric(EXCHANGES).await, 1.0);
}

#[tokio::test]
async fn a_plugin_that_fails_when_all_is_over_changes_nothing_for_the_client() {
    let origin = Origin::echo().await;
    let proxy = start(
        &["outcome"],
        &route_through("[\"outcome\"]", &peer(&origin)),
    )
    .await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        let failing = with_header(post("/", "hello"), "x-outcome-fails", "1");
        assert_eq!(client.send(failing).await.text(), "hello");
    }
    let failures = "tidegate_plugin_failures_total{plugin=\"outcome\"}";
    proxy.metric_becomes(failures, 3.0).await;
    client.send(get("/next")).await;
    assert_eq!(outcome(&proxy, "/next").await["status"], 200);
}
