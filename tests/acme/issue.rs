//! Each kind of challenge, to a certificate on the wire; what happens before it, and after.

use super::{Edge, seen};
use crate::harness::{Named, Proxy, get, until, with_header};

/// The self-signed one is there first, and says loudly what it is.
#[tokio::test]
async fn a_handshake_shows_control_of_several_names() {
    let Some(mut edge) = Edge::new().await else {
        return;
    };
    edge.pebble.stop();
    let names = r#"certificates = [["a.example.org", "b.example.org"]]"#;
    let proxy = edge.proxy(names).await;
    let own = seen(edge.tls_port, "a.example.org", None).await.unwrap();
    proxy
        .log_line("a loud warning", |line| {
            line.text.contains("NO CERTIFICATE YET") && line.text.contains("a.example.org")
        })
        .await;
    edge.pebble.restart().await;
    let issued = edge.is_trusted("a.example.org").await;
    assert_ne!(issued, own);
    assert_eq!(edge.is_trusted("b.example.org").await, issued);
    let orders = r#"tidegate_acme_orders_total{issuer="ca",result="ok"}"#;
    assert_eq!(proxy.metric(orders).await, 1.0);
    proxy.metric_becomes("tidegate_acme_failures", 0.0).await;
    let next = r#"tidegate_acme_next_attempt_seconds{name="a.example.org"}"#;
    let expiry = r#"tidegate_certificate_expiry_seconds{name="a.example.org"}"#;
    let (next, expiry) = (proxy.metric(next).await, proxy.metric(expiry).await);
    assert!(0.0 < next && next < expiry, "{next} {expiry}");
    proxy
        .log_line("the news", |line| line.says("a new certificate is served"))
        .await;
}

/// On a listener that sends everybody else to https.
#[tokio::test]
async fn a_request_shows_control() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let keys = "challenge = \"http-01\"\ncertificates = [[\"a.example.org\"]]";
    let proxy = edge.proxy(keys).await;
    edge.is_trusted("a.example.org").await;
    let other = get("/.well-known/acme-challenge/unknown");
    let other = proxy
        .send(with_header(other, "host", "a.example.org"))
        .await;
    assert_eq!(other.status, 308);
}

#[tokio::test]
async fn a_record_shows_control_of_a_wildcard() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let dns = format!(
        r#"challenge = "dns-01"
dns = {{ server = "{}", zone = "{}", key_name = "{}", key = {{ secret = "tsig" }} }}
certificates = [["*.example.org", "example.org"]]
[secret.tsig]
env = "TSIG"
"#,
        edge.named.address(),
        Named::ZONE,
        Named::KEY_NAME,
    );
    let folder = tempfile::TempDir::new().unwrap();
    let environment = [("TSIG", Named::KEY)];
    let configuration = edge.configuration(&dns);
    let proxy = Proxy::start_with_environment(folder, &configuration, &environment).await;
    let issued = edge.is_trusted("anything.example.org").await;
    assert_eq!(edge.is_trusted("example.org").await, issued);
    assert!(!proxy.written().contains(Named::KEY));
}

/// Not at the next start, nor when it is its time to be read again.
#[tokio::test]
async fn a_key_that_changes_in_its_file_signs_the_next_update() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let file = edge.folder.path().join("tsig");
    std::fs::write(&file, "YW5vdGhlciBrZXksIHdoaWNoIGlzIHdyb25n").unwrap();
    let keys = format!(
        r#"challenge = "dns-01"
dns = {{ server = "{}", zone = "{}", key_name = "{}", key = {{ secret = "tsig" }} }}
certificates = [["*.example.org"]]
[secret.tsig]
file = "{}"
refresh = "1d"
"#,
        edge.named.address(),
        Named::ZONE,
        Named::KEY_NAME,
        file.display(),
    );
    let proxy = edge.proxy(&keys).await;
    let failed = r#"tidegate_acme_orders_total{issuer="ca",result="dns"}"#;
    until("an update that is refused", async || {
        (proxy.metric(failed).await > 0.0).then_some(())
    })
    .await;
    std::fs::write(&file, Named::KEY).unwrap();
    edge.is_trusted("anything.example.org").await;
}

#[tokio::test]
async fn renewal_goes_on_while_nonces_are_bad() {
    let Some(edge) = Edge::with(|s| s.with("PEBBLE_WFE_NONCEREJECT", "20")).await else {
        return;
    };
    let keys = "renew_after = \"1s\"\ncertificates = [[\"a.example.org\"]]";
    let _proxy = edge.proxy(keys).await;
    let first = edge.is_trusted("a.example.org").await;
    let root = edge.root();
    until("another certificate", async || {
        let seen = edge.seen("a.example.org", &root).await;
        seen.filter(|seen| *seen != first)
    })
    .await;
}

/// A handshake can show one certificate: the second authority has to wait for its turn.
#[tokio::test]
async fn two_authorities_are_shown_control_of_one_name() {
    let slow = |s: crate::harness::PebbleSettings| {
        s.with("PEBBLE_VA_NOSLEEP", "0")
            .with("PEBBLE_VA_SLEEPTIME", "2")
    };
    let Some(edge) = Edge::with(slow).await else {
        return;
    };
    let names = "certificates = [[\"a.example.org\", \"b.example.org\"]]";
    let second = edge.configuration(names);
    let second = second.split_once("[acme.ca]").unwrap().1;
    let second = second.split_once("[[route]]").unwrap().0;
    let names = "certificates = [[\"b.example.org\", \"a.example.org\"]]";
    let configuration = edge.configuration(&format!("{names}\n[acme.second]\n{second}"));
    let configuration = configuration.replace("acme = [\"ca\"]", "acme = [\"ca\", \"second\"]");
    let proxy = Proxy::start(&configuration).await;
    for issuer in ["ca", "second"] {
        let ordered = format!("tidegate_acme_orders_total{{issuer=\"{issuer}\",result=\"ok\"}}");
        proxy.metric_becomes(&ordered, 1.0).await;
    }
    assert_eq!(proxy.metric("tidegate_acme_orders_total").await, 2.0);
}
