//! Which certificate a client sees.

use tempfile::TempDir;
use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::listener;
use crate::harness::{Authority, Issued, Proxy, TlsClient, get, with_header};

/// By a full handshake: one that is resumed shows no certificate.
async fn seen(client: &TlsClient, proxy: &Proxy) -> CertificateDer<'static> {
    let client = client.clone().with_own_tickets();
    let stream = client.connect(proxy.address()).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

async fn start(certificates: &[(&str, &Issued)], keys: &str) -> Proxy {
    let folder = TempDir::new().unwrap();
    let mut list = String::new();
    for (name, certificate) in certificates {
        certificate.write(folder.path(), name);
        list += &format!("{{ cert = \"{name}.pem\", key = \"{name}.key\" }}, ");
    }
    let keys = format!("certificates = [{list}]\n{keys}");
    Proxy::start_in(folder, &listener(&keys)).await
}

#[tokio::test]
async fn a_name_gets_its_own_a_pattern_one_label_and_all_others_the_default() {
    let authority = Authority::new();
    let default = authority.issue(&["default.example", "127.0.0.1"]);
    let exact = authority.issue(&["b.example", "own.c.example"]);
    let pattern = authority.issue(&["*.c.example"]);
    let all = [("default", &default), ("b", &exact), ("c", &pattern)];
    let proxy = start(&all, "").await;
    let client = TlsClient::new(&authority, "127.0.0.1");
    for (name, certificate) in [
        ("127.0.0.1", &default),
        ("default.example", &default),
        ("b.example", &exact),
        ("B.Example", &exact),
        ("own.c.example", &exact),
        ("x.c.example", &pattern),
    ] {
        let seen = seen(&client.named(name), &proxy).await;
        assert_eq!(seen, certificate.der(), "{name}");
    }
    for name in ["c.example", "x.y.c.example", "unknown.example"] {
        let refused = client.named(name).connect(proxy.address()).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("default.example"), "{name}: {error}");
    }
}

#[tokio::test]
async fn names_without_a_certificate_are_refused_where_that_is_asked_for() {
    let authority = Authority::new();
    let only = authority.issue(&["a.example"]);
    let proxy = start(&[("a", &only)], "unknown_name = \"refuse\"").await;
    let client = TlsClient::new(&authority, "a.example");
    assert_eq!(
        client
            .h1(proxy.address())
            .await
            .send(with_header(get("/"), "host", "a.example"))
            .await
            .status,
        200
    );
    for name in ["b.example", "127.0.0.1"] {
        let refused = client.named(name).connect(proxy.address()).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("UnrecognisedName"), "{name}: {error}");
    }
    proxy
        .metric_becomes(&super::refused("unknown-name"), 2.0)
        .await;
}

#[tokio::test]
async fn rsa_and_ecdsa_stand_side_by_side() {
    let authority = Authority::new();
    let ecdsa = authority.issue(&["a.example"]);
    let Some(rsa) = authority.issue_rsa(&["a.example"]) else {
        return;
    };
    let proxy = start(&[("rsa", &rsa), ("ecdsa", &ecdsa)], "").await;
    let client = TlsClient::new(&authority, "a.example");
    let knows_rsa = [SignatureScheme::RSA_PSS_SHA256];
    let knows_ecdsa = [SignatureScheme::ECDSA_NISTP256_SHA256];
    for client in [client.clone().tls12(), client.tls13()] {
        let only_rsa = client.clone().signatures(&knows_rsa);
        assert_eq!(seen(&only_rsa, &proxy).await, rsa.der());
        let only_ecdsa = client.clone().signatures(&knows_ecdsa);
        assert_eq!(seen(&only_ecdsa, &proxy).await, ecdsa.der());
        assert_eq!(seen(&client, &proxy).await, ecdsa.der());
    }
    // In TLS 1.2 the suite says which it is to be.
    let suite = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"];
    let old = TlsClient::new(&authority, "a.example").tls12();
    assert_eq!(seen(&old.suites(&suite), &proxy).await, rsa.der());
}

#[tokio::test]
async fn when_it_expires_is_a_metric() {
    let authority = Authority::new();
    let proxy = start(&[("a", &authority.issue(&["a.example"]))], "").await;
    let metric = "tidegate_certificate_expiry_seconds{name=\"a.example\"}";
    // What rcgen gives lasts for two thousand years.
    assert!(proxy.metric(metric).await > 4e9);
}
