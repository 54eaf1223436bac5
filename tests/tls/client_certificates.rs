//! Clients that show certificates.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{DnType, SanType};
use ring::digest;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{listener, refused};
use crate::harness::{Authority, Issued, Proxy, TlsClient, get, soon, with_header};

const FORWARD: &str = "[\"subject\", \"san\", \"fingerprint\", \"certificate\"]";

/// A proxy that asks for certificates of `clients`.
async fn start(server: &Authority, clients: &Authority, required: bool, log: &str) -> Proxy {
    let folder = TempDir::new().unwrap();
    let names = ["a.example", "127.0.0.1"];
    server.issue(&names).write(folder.path(), "a");
    std::fs::write(folder.path().join("ca.pem"), &clients.pem).unwrap();
    let keys = format!(
        "certificates = [{{ cert = \"a.pem\", key = \"a.key\" }}]
client_certificates = {{ ca = \"ca.pem\", required = {required}, forward = {FORWARD} }}"
    );
    Proxy::start_in(folder, &format!("{log}{}", listener(&keys))).await
}

/// Connects and asks once: in TLS 1.3 a client hears of its refusal after its handshake.
pub(super) async fn request(client: &TlsClient, proxy: &Proxy) -> io::Result<Vec<u8>> {
    let mut stream = client.connect(proxy.address()).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    soon("an answer", stream.read_to_end(&mut answer)).await?;
    Ok(answer)
}

async fn echo(client: &TlsClient, proxy: &Proxy, headers: &[(&'static str, &str)]) -> Value {
    let mut request = with_header(get("/"), "host", "a.example");
    for (name, value) in headers {
        request = with_header(request, name, value);
    }
    let answer = client.h2(proxy.address()).await.send(request).await;
    assert_eq!(answer.status, 200);
    serde_json::from_slice::<Value>(&answer.body).unwrap()["headers"].take()
}

fn alice(clients: &Authority) -> Issued {
    clients.issue_client_with("alice", |params| {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Example, Inc.");
        params.subject_alt_names = vec![SanType::DnsName("alice.example".try_into().unwrap())];
    })
}

#[tokio::test]
async fn required_means_that_nobody_else_gets_in() {
    let (server, clients) = (Authority::new(), Authority::named("clients"));
    let proxy = start(&server, &clients, true, "").await;
    let nobody = TlsClient::new(&server, "a.example");
    for client in [nobody.clone().tls12(), nobody.tls13()] {
        let none = request(&client, &proxy).await.unwrap_err().to_string();
        assert!(
            none.contains("CertificateRequired") || none.contains("HandshakeFailure"),
            "{none}"
        );
        let strangers = Authority::named("clients").issue_client("alice");
        let stranger = request(&client.clone().showing(&strangers), &proxy).await;
        assert!(stranger.is_err());
        let known = client.showing(&alice(&clients));
        let answer = request(&known, &proxy).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    proxy
        .metric_becomes(&refused("client-certificate"), 4.0)
        .await;
}

#[tokio::test]
async fn optional_means_none_or_a_good_one() {
    let (server, clients) = (Authority::new(), Authority::named("clients"));
    let proxy = start(&server, &clients, false, "").await;
    let nobody = TlsClient::new(&server, "a.example");
    assert!(
        request(&nobody, &proxy)
            .await
            .unwrap()
            .starts_with(b"HTTP/1.1 200")
    );
    let stranger = Authority::named("clients").issue_client("mallory");
    assert!(
        request(&nobody.clone().showing(&stranger), &proxy)
            .await
            .is_err()
    );
    let known = nobody.showing(&alice(&clients));
    assert!(
        request(&known, &proxy)
            .await
            .unwrap()
            .starts_with(b"HTTP/1.1 200")
    );
}

#[tokio::test]
async fn upstreams_and_the_log_hear_who_it_is() {
    let (server, clients) = (Authority::new(), Authority::named("clients"));
    let log = "[log]\nformat = \"json\"\naccess_attributes = [\"tls.client.subject\", \"tls.client.san\", \"tls.client.fingerprint\"]\n";
    let proxy = start(&server, &clients, false, log).await;
    let alice = alice(&clients);
    let client = TlsClient::new(&server, "a.example").showing(&alice);
    let digest = digest::digest(&digest::SHA256, &alice.der());
    let fingerprint: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // Twice: a session that is resumed has it too.
    for _ in 0..2 {
        let headers = echo(&client, &proxy, &[]).await;
        // RFC 4514 has the last part first.
        assert_eq!(
            headers["x-client-cert-subject"][0],
            "O=Example\\, Inc.,CN=alice"
        );
        assert_eq!(headers["x-client-cert-san"][0], "DNS:alice.example");
        assert_eq!(headers["x-client-cert-fingerprint"][0], fingerprint);
        let field = format!(":{}:", STANDARD.encode(alice.der()));
        assert_eq!(headers["client-cert"][0], field);
        assert_eq!(headers["client-cert-chain"], Value::Null);
    }
    let line = proxy.access_line("/").await;
    let attributes = &line.json()["attributes"];
    assert_eq!(
        attributes["tls.client.subject"],
        "O=Example\\, Inc.,CN=alice"
    );
    assert_eq!(attributes["tls.client.san"], "DNS:alice.example");
    assert_eq!(attributes["tls.client.fingerprint"], fingerprint);
}

/// What a certificate says is told as a whole or not at all, and never makes a head that upstreams refuse.
#[tokio::test]
async fn what_is_too_long_to_be_told_lets_nobody_in() {
    let (server, clients) = (Authority::new(), Authority::named("clients"));
    let proxy = start(&server, &clients, false, "").await;
    let nobody = TlsClient::new(&server, "a.example");
    let with = |name: usize, alternatives: usize| {
        let name = "n".repeat(name);
        let issued = clients.issue_client_with(&name, |params| {
            let alternative = "a".repeat(alternatives).try_into().unwrap();
            params.subject_alt_names = vec![SanType::DnsName(alternative)];
        });
        nobody.clone().showing(&issued)
    };
    // With `CN=` and `DNS:` 4 KiB each.
    let headers = echo(&with(4093, 4092), &proxy, &[]).await;
    for field in ["x-client-cert-subject", "x-client-cert-san"] {
        assert_eq!(headers[field][0].as_str().unwrap().len(), 4096, "{field}");
    }
    for (name, alternatives) in [(4094, 1), (1, 4093), (20_000, 1)] {
        assert!(request(&with(name, alternatives), &proxy).await.is_err());
    }
    proxy
        .metric_becomes(&refused("client-certificate"), 3.0)
        .await;
}

#[tokio::test]
async fn nobody_can_say_it_themselves() {
    let (server, clients) = (Authority::new(), Authority::named("clients"));
    let proxy = start(&server, &clients, false, "").await;
    let forged = [
        ("x-client-cert-subject", "CN=root"),
        ("x-client-cert-san", "DNS:root"),
        ("x-client-cert-fingerprint", "00"),
        ("client-cert", ":AAAA:"),
        ("client-cert-chain", ":AAAA:"),
        ("x_client_cert_subject", "CN=root"),
        ("client_cert", ":AAAA:"),
    ];
    let nobody = TlsClient::new(&server, "a.example");
    let headers = echo(&nobody, &proxy, &forged).await;
    for (name, _) in forged {
        assert_eq!(headers[name], Value::Null, "{name}");
    }
    let headers = echo(&nobody.showing(&alice(&clients)), &proxy, &forged).await;
    let subjects = headers["x-client-cert-subject"].as_array().unwrap();
    assert_eq!(subjects, &["O=Example\\, Inc.,CN=alice"]);
    assert_eq!(headers["client-cert-chain"], Value::Null);
    assert_eq!(headers["client_cert"], Value::Null);
}

#[tokio::test]
async fn a_chain_is_told_as_a_list() {
    let (server, root) = (Authority::new(), Authority::named("root"));
    let middle = root.intermediate("middle");
    let proxy = start(&server, &root, true, "").await;
    let mut own = middle.issue_client("alice");
    own.cert += &middle.pem;
    let client = TlsClient::new(&server, "a.example").showing(&own);
    let headers = echo(&client, &proxy, &[]).await;
    let middle = Issued {
        cert: middle.pem.clone(),
        key: String::new(),
    };
    let field = format!(":{}:", STANDARD.encode(middle.der()));
    assert_eq!(headers["client-cert-chain"][0], field);
}

/// Those who vouch for clients are read again when their file changes, and tickets of before are worth nothing.
#[tokio::test]
async fn other_authorities_take_over_without_a_restart() {
    let (server, old, new) = (
        Authority::new(),
        Authority::named("old"),
        Authority::named("new"),
    );
    let proxy = start(&server, &old, true, "").await;
    let client = TlsClient::new(&server, "a.example");
    let of_old = client.clone().with_own_tickets().showing(&alice(&old));
    let of_new = client.with_own_tickets().showing(&alice(&new));
    assert!(request(&of_old, &proxy).await.is_ok());
    assert!(request(&of_new, &proxy).await.is_err());
    std::fs::write(proxy.folder().join("ca.pem"), "garbage").unwrap();
    proxy
        .has_logged("the authorities for client certificates cannot be read", 1)
        .await;
    assert!(request(&of_old, &proxy).await.is_ok());
    std::fs::write(proxy.folder().join("ca.pem"), &new.pem).unwrap();
    crate::harness::until("the new authority to count", async || {
        request(&of_new, &proxy).await.ok()
    })
    .await;
    let refused = request(&of_old, &proxy).await;
    assert!(refused.is_err(), "{refused:?}");
}

/// What is asked of clients by a reload is asked of those, too, that are connected already.
#[tokio::test]
async fn a_connection_of_before_does_not_get_around_what_is_required_now() {
    let (server, clients) = (Authority::new(), Authority::named("clients"));
    let proxy = start(&server, &clients, false, "").await;
    let nobody = TlsClient::new(&server, "a.example");
    let (mut known, mut unknown) = (
        nobody
            .clone()
            .showing(&alice(&clients))
            .h2(proxy.address())
            .await,
        nobody.h2(proxy.address()).await,
    );
    let request = || with_header(get("/"), "host", "a.example");
    assert_eq!(known.send(request()).await.status, 200);
    assert_eq!(unknown.send(request()).await.status, 200);
    let config = std::fs::read_to_string(proxy.folder().join("tidegate.toml")).unwrap();
    let required = config.replace("required = false", "required = true");
    proxy.reload(&required).await;
    assert_eq!(known.send(request()).await.status, 200);
    assert_eq!(unknown.send(request()).await.status, 421);
    let misdirected = "tidegate_requests_refused_total{reason=\"misdirected\"}";
    assert_eq!(proxy.metric(misdirected).await, 1.0);
}
