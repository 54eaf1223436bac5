//! One line per request, on standard output.

use tempfile::TempDir;

use crate::harness::{ECHO, Origin, Proxy, post, route_to, until, with_deaf_output, with_header};

#[tokio::test]
async fn a_line_of_json_has_every_field() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let request = with_header(
        post("/a/../b?key=value", "hello"),
        "host",
        "WWW.Example.com:80",
    );
    proxy.send(request).await;
    let line = proxy.access_line("/b").await;
    let json = line.json();
    let time = json["time"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    assert_eq!(json["request_id"], origin.seen()[0].header("x-request-id"));
    assert_eq!(json["listener"], "web");
    assert_eq!(json["client"], "127.0.0.1");
    assert_eq!(json["method"], "POST");
    assert_eq!(json["host"], "www.example.com");
    assert_eq!(json["path"], "/b");
    assert_eq!(json["status"], 200);
    assert_eq!(json["bytes"], 5);
    assert!(json["duration_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(json["route"], "all");
    assert_eq!(json["upstream"], "app");
    assert_eq!(json["attempts"], 1);
    assert_eq!(json["plugins"], serde_json::json!([]));
    assert_eq!(json["error"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_line_for_people_has_what_matters() {
    let origin = Origin::echo().await;
    let config = format!("[log]\nformat = \"text\"\n{}", route_to(&origin));
    let proxy = Proxy::start(&config).await;
    proxy.send(post("/b?key=value", "hello")).await;
    let line = proxy
        .stdout_line(|line| line.text.contains("POST"))
        .await
        .text;
    for part in [
        "127.0.0.1",
        "POST",
        "test.example/b ",
        " 200 ",
        "route=all",
        "upstream=app",
    ] {
        assert!(line.contains(part), "`{part}` is missing: {line}");
    }
    assert!(!line.contains("key=value"), "{line}");
}

/// The log goes where nobody reads: requests are served, and lines are lost and counted.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_nobody_up() {
    let folder = TempDir::new().unwrap();
    let command = with_deaf_output(&folder.path().join("pipe"));
    let config = format!("[log]\nformat = \"json\"\nbuffered_lines = 8\n{ECHO}");
    let proxy = Proxy::start_by(command, folder, &config).await;
    let mut client = proxy.client().await;
    let lost = r#"tidegate_log_lines_lost_total{log="access"}"#;
    until("lines to be lost", async || {
        for _ in 0..100 {
            assert_eq!(client.get("/").await.status, 200);
        }
        (proxy.metric(lost).await > 0.0).then_some(())
    })
    .await;
    let others = r#"tidegate_log_lines_lost_total{log="proxy"}"#;
    assert_eq!(proxy.metric(others).await, 0.0);
}

#[tokio::test]
async fn a_client_cannot_write_lines_of_its_own() {
    let config = format!("[log]\nformat = \"text\"\n{ECHO}");
    let proxy = Proxy::start(&config).await;
    proxy.get("/%0a2026-01-01%20forged%1b%5b31m").await;
    let line = proxy
        .stdout_line(|line| line.text.contains("forged"))
        .await
        .text;
    assert!(line.contains("GET") && !line.contains('\u{1b}'), "{line:?}");
}

#[tokio::test]
async fn refused_requests_are_logged_too() {
    let proxy = Proxy::start(ECHO).await;
    proxy
        .raw("GET /refused HTTP/1.1\r\nconnection: close\r\n\r\n")
        .await;
    let line = proxy.access_line("/refused").await;
    assert_eq!(line.json()["status"], 400);
    assert_eq!(line.json()["error"], "no host");
}

#[tokio::test]
async fn it_can_be_off() {
    let proxy = Proxy::start(&format!("[log]\nformat = \"json\"\naccess = false\n{ECHO}")).await;
    proxy.get("/unlogged").await;
    proxy.metric_becomes("tidegate_requests_total", 1.0).await;
    assert!(!proxy.written().contains("/unlogged"));
}
