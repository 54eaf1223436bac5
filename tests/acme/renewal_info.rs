//! Authorities that say when they would have a certificate renewed (RFC 9773).

use std::process::Command;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::front::{Asked, Change, Front, after_json};
use super::{Edge, unix_time};
use crate::harness::{Proxy, until};

/// What `date` says of a time, in seconds and as authorities write it.
fn time(text: &str) -> (f64, String) {
    let said = |format: &str| {
        let date = Command::new("date")
            .args(["-u", "-d", text, format])
            .output();
        let said = String::from_utf8(date.unwrap().stdout).unwrap();
        said.trim().to_owned()
    };
    (said("+%s").parse().unwrap(), said("+%Y-%m-%dT%H:%M:%SZ"))
}

fn window(at: &str, retry_after: u32) -> Response<Bytes> {
    let window = json!({ "suggestedWindow": { "start": at, "end": at } });
    Response::builder()
        .header("content-type", "application/json")
        .header("retry-after", retry_after)
        .body(window.to_string().into())
        .unwrap()
}

/// Has the directory name where renewal information is, and an order what it replaces.
fn offered(asked: &Asked) -> Change {
    let (url, payload) = (
        format!("https://{}/renewal", asked.host),
        asked.payload.clone(),
    );
    match &*asked.path {
        "/dir" => after_json(move |directory| directory["renewalInfo"] = url.into()),
        "/order-plz" if payload.get("replaces").is_some() => {
            after_json(move |order| order["replaces"] = payload["replaces"].clone())
        }
        _ => Change::Pass,
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_when_its_authority_says() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let (later, at_later) = time("today +100 days 00:00");
    let (_, at_once) = time("today -1 day 00:00");
    let first = std::sync::OnceLock::<String>::new();
    let front = Front::start(&edge.pebble, move |asked| {
        if !asked.path.starts_with("/renewal/") {
            return offered(asked);
        }
        // The first certificate it wants back; the others have time.
        let is_first = *first.get_or_init(|| asked.path.clone()) == asked.path;
        Change::Instead(window(if is_first { &at_once } else { &at_later }, 7200))
    })
    .await;
    let start = unix_time();
    let keys = "certificates = [[\"a.example.org\"]]";
    let proxy = Proxy::start(&edge.configuration_at(&front.directory(), keys)).await;
    proxy
        .metric_becomes("tidegate_acme_next_attempt_seconds", later)
        .await;
    edge.is_trusted("a.example.org").await;
    let ordered = r#"tidegate_acme_orders_total{issuer="ca",result="ok"}"#;
    assert_eq!(proxy.metric(ordered).await, 2.0);

    let questions = front.asked("/renewal/");
    let ids: Vec<&str> = questions
        .iter()
        .filter_map(|asked| asked.path.strip_prefix("/renewal/"))
        .collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    let replaces = front.asked("/order-plz").into_iter();
    let replaces: Vec<Value> = replaces
        .map(|asked| asked.payload["replaces"].clone())
        .collect();
    assert_eq!(replaces, [Value::Null, ids[0].into()]);

    // It said when it wants to be asked again, and that is kept.
    let kept = until("a time for the next question", async || {
        let file = std::fs::read(edge.store().join("ca/a.example.org.json")).ok()?;
        let history: Value = serde_json::from_slice(&file).ok()?;
        history["check_at"]["secs_since_epoch"].as_f64()
    })
    .await;
    assert!(
        (start + 7199.0..=unix_time() + 7200.0).contains(&kept),
        "{kept}"
    );
}

/// It names a place where nothing is, or what is there is wrong.
#[tokio::test]
async fn an_authority_that_does_not_know_when_changes_nothing() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let front = Front::start(&edge.pebble, |asked| {
        match asked.path.starts_with("/renewal/") {
            true => Change::Instead(Response::new("{}".into())),
            false => offered(asked),
        }
    })
    .await;
    let keys = "certificates = [[\"a.example.org\"]]";
    let proxy = Proxy::start(&edge.configuration_at(&front.directory(), keys)).await;
    proxy
        .log_line("a warning", |line| {
            line.says("going by the certificate's age")
        })
        .await;
    edge.is_trusted("a.example.org").await;
    let ordered = r#"tidegate_acme_orders_total{issuer="ca",result="ok"}"#;
    assert_eq!(proxy.metric(ordered).await, 1.0);
    let next = proxy.metric("tidegate_acme_next_attempt_seconds").await;
    assert!(next > unix_time() + 24.0 * 3600.0, "{next}");
}
