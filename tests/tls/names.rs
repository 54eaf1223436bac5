//! Settings of single names, and requests for other hosts than the handshake was for.

use http::Version;

use super::ECHO;
use crate::harness::{Authority, Proxy, TlsClient, get, with_header};
use tempfile::TempDir;

/// `admin.example` and the names below `old.example` have settings of their own.
async fn start(authority: &Authority, keys: &str) -> Proxy {
    let folder = TempDir::new().unwrap();
    let names = ["a.example", "b.example", "admin.example", "127.0.0.1"];
    authority.issue(&names).write(folder.path(), "a");
    let others = ["*.old.example", "c.example"];
    authority.issue(&others).write(folder.path(), "b");
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let config = format!(
        "
[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
[listener.tls]
certificates = [{{ cert = \"a.pem\", key = \"a.key\" }}, {{ cert = \"b.pem\", key = \"b.key\" }}]
{keys}
[listener.tls.sni.\"admin.example\"]
min_version = \"1.3\"
client_certificates = {{ ca = \"ca.pem\" }}
[listener.tls.sni.\"*.old.example\"]
max_version = \"1.2\"
cipher_suites = [\"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\"]
alpn = [\"http/1.1\"]
{ECHO}"
    );
    Proxy::start_in(folder, &config).await
}

#[tokio::test]
async fn versions_suites_and_protocols_are_by_name() {
    let authority = Authority::new();
    let proxy = start(&authority, "").await;
    let client = TlsClient::new(&authority, "a.example").offering(&["h2", "http/1.1"]);
    let old = client.named("x.old.example").connect(proxy.address()).await;
    let old = old.unwrap();
    let connection = old.get_ref().1;
    assert_eq!(
        connection
            .negotiated_cipher_suite()
            .unwrap()
            .suite()
            .as_str(),
        Some("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
    );
    assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
    let own = client.showing(&authority.issue_client("alice"));
    let admin = own.named("admin.example");
    admin.connect(proxy.address()).await.unwrap();
    assert!(admin.tls12().connect(proxy.address()).await.is_err());
    // Others are as the listener is.
    own.tls12().connect(proxy.address()).await.unwrap();
}

/// The statuses of requests for these hosts, on one connection each and all on one of HTTP/2. Those that are
/// misdirected are counted.
async fn statuses(client: &TlsClient, proxy: &Proxy, hosts: &[&str]) -> Vec<u16> {
    const MISDIRECTED: &str = "tidegate_requests_refused_total{reason=\"misdirected\"}";
    let before = proxy.metric(MISDIRECTED).await;
    let mut by_h2 = Vec::new();
    let mut h2 = client.h2(proxy.address()).await;
    let mut by_h1 = Vec::new();
    for host in hosts {
        let mut h1 = client.h1(proxy.address()).await;
        by_h1.push(h1.send(with_header(get("/"), "host", host)).await.status);
        let answer = h2.send(with_header(get("/"), "host", host)).await;
        assert_eq!(answer.version, Version::HTTP_2);
        by_h2.push(answer.status);
    }
    assert_eq!(by_h1, by_h2);
    let misdirected = by_h1.iter().filter(|status| **status == 421).count();
    let counted = proxy.metric(MISDIRECTED).await - before;
    assert_eq!(counted, 2.0 * misdirected as f64);
    by_h1
}

#[tokio::test]
async fn a_host_with_other_settings_is_misdirected_always() {
    let authority = Authority::new();
    for keys in ["", "mismatch = \"allow\""] {
        let proxy = start(&authority, keys).await;
        let client = TlsClient::new(&authority, "a.example");
        let hosts = [
            "admin.example",
            "ADMIN.example:443",
            "admin.example.",
            "x.old.example",
            // As in routes, a star is one label or more.
            "y.x.old.example",
            "a.example",
        ];
        let expected = [421, 421, 421, 421, 421, 200];
        assert_eq!(statuses(&client, &proxy, &hosts).await, expected);
        // Without a name it is no different.
        let nameless = client.named("127.0.0.1");
        let hosts = ["admin.example", "a.example", "127.0.0.1"];
        assert_eq!(statuses(&nameless, &proxy, &hosts).await, [421, 200, 200]);
        // Nor the other way round.
        let admin = client.named("admin.example");
        let admin = admin.showing(&authority.issue_client("alice"));
        let hosts = ["admin.example", "a.example"];
        assert_eq!(statuses(&admin, &proxy, &hosts).await, [200, 421]);
    }
}

#[tokio::test]
async fn a_host_that_the_certificate_does_not_cover_is_misdirected_unless_that_is_allowed() {
    let authority = Authority::new();
    let client = TlsClient::new(&authority, "a.example");
    let hosts = ["b.example", "127.0.0.1", "c.example", "unknown.example"];
    let strict = start(&authority, "").await;
    assert_eq!(
        statuses(&client, &strict, &hosts).await,
        [200, 200, 421, 421]
    );
    let lenient = start(&authority, "mismatch = \"allow\"").await;
    assert_eq!(statuses(&client, &lenient, &hosts).await, [200; 4]);
}

#[tokio::test]
async fn a_request_without_a_host_is_as_its_name() {
    let authority = Authority::new();
    let proxy = start(&authority, "").await;
    let client = TlsClient::new(&authority, "a.example");
    let mut stream = client.connect(proxy.address()).await.unwrap();
    let answer = super::http::exchange(&mut stream, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1."), "{answer:?}");
    assert!(answer.windows(5).any(|five| five == b" 200 "), "{answer:?}");
}
