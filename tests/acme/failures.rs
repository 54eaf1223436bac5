//! What goes wrong, and what clients see meanwhile.

use super::{Edge, seen};
use crate::harness::{Proxy, free_port, tidegate, until};

#[tokio::test]
async fn the_last_good_certificate_serves_while_the_authority_is_down() {
    let Some(mut edge) = Edge::new().await else {
        return;
    };
    let keys = "renew_after = \"1s\"\ncertificates = [[\"a.example.org\"]]";
    let proxy = edge.proxy(keys).await;
    edge.is_trusted("a.example.org").await;
    let root = edge.root();
    edge.pebble.stop();
    let unreachable = r#"tidegate_acme_orders_total{issuer="ca",result="unreachable"}"#;
    until("a renewal that fails", async || {
        (proxy.metric(unreachable).await >= 2.0).then_some(())
    })
    .await;
    let line = proxy
        .log_line("an error", |line| line.says("no certificate"))
        .await;
    let error = line.field("error").unwrap();
    assert!(error.contains("Connection refused"), "{error}");
    assert!(edge.seen("a.example.org", &root).await.is_some());
    // And after a restart.
    drop(proxy);
    let _proxy = edge.proxy(keys).await;
    assert!(edge.seen("a.example.org", &root).await.is_some());
}

#[tokio::test]
async fn another_authority_stands_in() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let nowhere = format!("https://127.0.0.1:{}/dir", free_port());
    let keys = "fallback = [\"second\"]\ncertificates = [[\"a.example.org\"]]";
    let configuration = edge.configuration_at(&nowhere, keys);
    let second = format!(
        "[acme.second]\ndirectory = \"{}\"\nca = \"{}\"\nagree_to_terms = true\nstore = \"{}\"\n",
        edge.pebble.directory(),
        edge.pebble.ca().display(),
        edge.store().display(),
    );
    let proxy = Proxy::start(&format!("{configuration}\n{second}")).await;
    edge.is_trusted("a.example.org").await;
    let stood_in = r#"tidegate_acme_orders_total{issuer="second",result="ok"}"#;
    assert_eq!(proxy.metric(stood_in).await, 1.0);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_said_in_the_authoritys_words() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let proxy = edge.proxy("certificates = [[\"a.example.com\"]]").await;
    let failed = r#"tidegate_acme_orders_total{issuer="ca",result="validation"}"#;
    until("a failure", async || {
        (proxy.metric(failed).await >= 1.0).then_some(())
    })
    .await;
    let line = proxy
        .log_line("an error", |line| line.says("no certificate"))
        .await;
    let error = line.field("error").unwrap();
    assert!(
        error.starts_with("a.example.com was not validated: the authority says: ")
            && error.contains("urn:ietf:params:acme:error:"),
        "{error}"
    );
    // The one that we signed ourselves.
    assert!(seen(edge.tls_port, "a.example.com", None).await.is_some());
}

#[tokio::test]
async fn a_name_that_an_authority_does_not_issue_for_is_said_in_its_words() {
    let refusing = |mut settings: crate::harness::PebbleSettings| {
        settings.refused_name = Some("b.example.org");
        settings
    };
    let Some(edge) = Edge::with(refusing).await else {
        return;
    };
    let names = "certificates = [[\"a.example.org\"], [\"b.example.org\"]]";
    let proxy = edge.proxy(names).await;
    let line = proxy
        .log_line("an error", |line| line.says("no certificate"))
        .await;
    assert_eq!(line.field("kind").as_deref(), Some("refused"));
    let error = line.field("error").unwrap();
    assert!(
        error.contains("urn:ietf:params:acme:error:rejectedIdentifier")
            && error.contains("b.example.org"),
        "{error}"
    );
    let refused = r#"tidegate_acme_orders_total{issuer="ca",result="refused"}"#;
    assert!(proxy.metric(refused).await >= 1.0);
    // The other one comes all the same.
    edge.is_trusted("a.example.org").await;
}

#[tokio::test]
async fn an_authority_that_wants_an_account_says_what_to_write() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let with_account = |mut settings: crate::harness::PebbleSettings| {
        settings.external_account = Some(("kid-1", KEY));
        settings
    };
    let Some(edge) = Edge::with(with_account).await else {
        return;
    };
    let names = "certificates = [[\"a.example.org\"]]";
    let proxy = edge.proxy(names).await;
    let line = proxy
        .log_line("an error", |line| line.says("no certificate"))
        .await;
    assert!(
        line.field("error")
            .unwrap()
            .contains("Set `external_account`")
    );
    let file = proxy.folder().join("eab");
    std::fs::write(&file, KEY).unwrap();
    let keys = format!(
        "{names}\nexternal_account = {{ key_id = \"kid-1\", key = {{ secret = \"eab\" }} }}\n\
         [secret.eab]\nfile = \"eab\"\n"
    );
    proxy.reload(&edge.configuration(&keys)).await;
    edge.is_trusted("a.example.org").await;
}

#[tokio::test]
async fn a_store_that_cannot_be_used_stops_the_start_at_its_place() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    std::fs::write(edge.store(), "a file in its place").unwrap();
    let file = edge.folder.path().join("tidegate.toml");
    let configuration = edge.configuration("certificates = [[\"a.example.org\"]]");
    std::fs::write(&file, configuration).unwrap();
    let exit = tidegate(&["run", "--config", &file.display().to_string()]);
    assert!(!exit.status.success());
    let place = format!("cannot make the folder {}", edge.store().display());
    assert!(
        exit.stderr.contains(&place) && exit.stderr.contains("[acme.ca]"),
        "{}",
        exit.stderr
    );
}
