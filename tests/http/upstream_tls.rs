//! TLS to upstreams: whose certificate is accepted, what the proxy shows, and what is said when there is none.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::harness::{
    Authority, Issued, Origin, Proxy, Response, get, post, tidegate, until, upstream,
};

/// A server's side of TLS.
struct Server {
    issued: Issued,
    alpn: &'static [&'static str],
    /// Who vouches for clients, which must show a certificate then.
    clients: Option<Authority>,
    tls12_only: bool,
}

impl Server {
    fn of(authority: &Authority, name: &str) -> Server {
        Server {
            issued: authority.issue(&[name]),
            alpn: &[],
            clients: None,
            tls12_only: false,
        }
    }

    async fn start(self) -> Origin {
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = if self.tls12_only {
            &[&TLS12]
        } else {
            &[&TLS12, &TLS13]
        };
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(versions).unwrap();
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                let root = CertificateDer::from_pem_slice(authority.pem.as_bytes());
                roots.add(root.unwrap()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (chain, key) = (self.issued.chain(), self.issued.private_key());
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = self.alpn.iter().map(|one| one.as_bytes().into()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Origin::secured(acceptor, |seen| {
            let mut answer = http::Response::new(Full::new(seen.body));
            if seen.target.starts_with("/close") {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert("connection", close);
            }
            answer
        })
        .await
    }
}

/// A proxy whose upstream has these keys, and trusts `authority` where they say `ca = "ca.pem"`.
async fn proxy(authority: &Authority, peers: &[&str], keys: &str) -> Proxy {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let client = authority.issue_client("the proxy");
    client.write(folder.path(), "client");
    let keys = upstream(&format!("peers = {peers:?}\n{keys}"));
    Proxy::start_in(folder, &keys).await
}

/// That there is a 502, why it is said to be in both logs, and how it is counted.
async fn is_refused(proxy: &Proxy, reason: &str, why: &str) {
    assert_eq!(proxy.get("/refused").await.status, 502, "{why}");
    let line = proxy.access_line("/refused").await;
    let error = line.field("error").unwrap();
    assert!(error.contains(why), "{error}");
    let said = proxy
        .log_line("a warning", |line| line.says("no TLS with a peer"))
        .await;
    assert!(said.text.contains(why), "{}", said.text);
    let series =
        format!("tidegate_upstream_connect_failures_total{{upstream=\"app\",reason=\"{reason}\"}}");
    assert!(proxy.metric(&series).await >= 1.0, "{series}");
}

async fn answer(proxy: &Proxy) -> Response {
    proxy.send(get("/")).await
}

const TRUSTING: &str = "[upstream.app.tls]\nca = \"ca.pem\"";

#[tokio::test]
async fn a_peer_with_the_right_certificate_is_spoken_to() {
    let authority = Authority::new();
    let origin = Server::of(&authority, "127.0.0.1").start().await;
    let proxy = proxy(&authority, &[origin.address()], TRUSTING).await;
    for path in ["/1", "/2", "/3"] {
        assert_eq!(proxy.get(path).await.status, 200);
        // Once it is logged, the connection waits for the next.
        proxy.access_line(path).await;
    }
    assert_eq!((origin.seen().len(), origin.accepted()), (3, 1));
}

#[tokio::test]
async fn connections_that_the_peer_closed_are_not_used_again() {
    let authority = Authority::new();
    let origin = Server::of(&authority, "127.0.0.1").start().await;
    let proxy = proxy(&authority, &[origin.address()], TRUSTING).await;
    for path in ["/close/1", "/close/2"] {
        assert_eq!(proxy.get(path).await.status, 200);
        proxy.access_line(path).await;
    }
    assert_eq!(origin.accepted(), 2);
    let keys = format!("keepalive = 0\n{TRUSTING}");
    let none = self::proxy(&authority, &[origin.address()], &keys).await;
    for path in ["/1", "/2"] {
        assert_eq!(none.get(path).await.status, 200);
        none.access_line(path).await;
    }
    assert_eq!(origin.accepted(), 4);
}

#[tokio::test]
async fn large_bodies_pass_both_ways_over_tls() {
    let authority = Authority::new();
    let origin = Server::of(&authority, "127.0.0.1").start().await;
    let proxy = proxy(&authority, &[origin.address()], TRUSTING).await;
    let body = Bytes::from(vec![b'x'; 3 << 20]);
    for _ in 0..3 {
        assert!(proxy.send(post("/", body.clone())).await.body == body);
    }
}

#[tokio::test]
async fn certificates_of_others_are_refused() {
    let (authority, stranger) = (Authority::new(), Authority::named("a stranger"));
    let origin = Server::of(&stranger, "127.0.0.1").start().await;
    let peers = [origin.address()];
    let trusting = proxy(&authority, &peers, TRUSTING).await;
    is_refused(&trusting, "certificate", "UnknownIssuer").await;
    assert!(origin.seen().is_empty(), "nothing was sent");
    // The system does not know either of them.
    let system = proxy(&authority, &peers, "[upstream.app.tls]").await;
    is_refused(&system, "certificate", "UnknownIssuer").await;
}

#[tokio::test]
async fn the_certificate_is_for_the_host_of_the_peer_or_the_name_that_is_asked_for() {
    let authority = Authority::new();
    let origin = Server::of(&authority, "app.internal").start().await;
    let peers = [origin.address()];
    let by_host = proxy(&authority, &peers, TRUSTING).await;
    is_refused(&by_host, "certificate", "not valid for name").await;
    let by_name = format!("{TRUSTING}\nserver_name = \"app.internal\"");
    let by_name = proxy(&authority, &peers, &by_name).await;
    assert_eq!(answer(&by_name).await.status, 200);
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2020, 1, 1);
    let mut server = Server::of(&authority, "127.0.0.1");
    server.issued = authority.sign(&params, &KeyPair::generate().unwrap());
    let origin = server.start().await;
    let proxy = proxy(&authority, &[origin.address()], TRUSTING).await;
    is_refused(&proxy, "certificate", "expired").await;
}

#[tokio::test]
async fn the_proxy_shows_its_certificate_to_peers_that_ask() {
    let authority = Authority::new();
    let mut server = Server::of(&authority, "127.0.0.1");
    let clients = Authority::new();
    let client = clients.issue_client("the proxy");
    server.clients = Some(clients);
    let origin = server.start().await;
    let peers = [origin.address()];
    let with = format!("{TRUSTING}\ncertificate = {{ cert = \"own.pem\", key = \"own.key\" }}");
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    client.write(folder.path(), "own");
    let config = upstream(&format!("peers = {peers:?}\n{with}"));
    let with = Proxy::start_in(folder, &config).await;
    assert_eq!(answer(&with).await.status, 200);
    let without = proxy(&authority, &peers, TRUSTING).await;
    assert_eq!(answer(&without).await.status, 502);
}

#[tokio::test]
async fn versions_below_the_oldest_are_refused() {
    let authority = Authority::new();
    let mut server = Server::of(&authority, "127.0.0.1");
    server.tls12_only = true;
    let origin = server.start().await;
    let peers = [origin.address()];
    assert_eq!(
        answer(&proxy(&authority, &peers, TRUSTING).await)
            .await
            .status,
        200
    );
    let tls13 = format!("{TRUSTING}\nmin_version = \"1.3\"");
    is_refused(
        &proxy(&authority, &peers, &tls13).await,
        "tls",
        "TLS failed",
    )
    .await;
}

#[tokio::test]
async fn http_2_is_for_peers_that_agree_to_it() {
    let authority = Authority::new();
    let http2 = format!("protocol = \"http2\"\n{TRUSTING}");
    let mut server = Server::of(&authority, "127.0.0.1");
    server.alpn = &["h2", "http/1.1"];
    let origin = server.start().await;
    let agreed = proxy(&authority, &[origin.address()], &http2).await;
    assert_eq!(answer(&agreed).await.status, 200);
    assert_eq!(origin.seen()[0].version, http::Version::HTTP_2);
    // Without ALPN nobody has agreed.
    let origin = Server::of(&authority, "127.0.0.1").start().await;
    let silent = proxy(&authority, &[origin.address()], &http2).await;
    is_refused(&silent, "protocol", "did not agree to HTTP/2").await;
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn any_certificate_is_accepted_where_that_is_written_and_each_start_warns() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let origin = Server::of(&stranger, "another.example").start().await;
    let keys = "[upstream.app.tls]\ndanger_accept_any_certificate = true";
    let proxy = proxy(&authority, &[origin.address()], keys).await;
    assert_eq!(answer(&proxy).await.status, 200);
    let warning = |line: &crate::harness::Line| line.text.contains("danger_accept_any_certificate");
    let line = proxy.log_line("a warning", warning).await;
    assert!(line.text.contains("not verified"), "{}", line.text);
}

#[tokio::test]
async fn another_peer_is_tried_when_one_has_a_wrong_certificate() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let wrong = Server::of(&stranger, "127.0.0.1").start().await;
    let right = Server::of(&authority, "127.0.0.1").start().await;
    let proxy = proxy(&authority, &[wrong.address(), right.address()], TRUSTING).await;
    for _ in 0..4 {
        assert_eq!(answer(&proxy).await.status, 200);
    }
    assert_eq!(right.seen().len(), 4);
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_a_502_and_one_that_is_silent_a_504() {
    let authority = Authority::new();
    let plain = Origin::raw(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let speaking = proxy(&authority, &[plain.address()], TRUSTING).await;
    is_refused(&speaking, "tls", "TLS failed").await;
    let silent = Origin::raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let keys = format!("attempts = 1\ntimeout = {{ connect = \"200ms\" }}\n{TRUSTING}");
    let waiting = proxy(&authority, &[silent.address()], &keys).await;
    assert_eq!(answer(&waiting).await.status, 504);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_errors_with_their_place() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new();
    authority.issue(&["a"]).write(folder.path(), "a");
    authority.issue(&["b"]).write(folder.path(), "b");
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    let config = folder.path().join("tidegate.toml");
    let cases = [
        ("ca = \"none.pem\"", "cannot read"),
        ("ca = \"empty.pem\"", "no certificate of an authority"),
        (
            "certificate = { cert = \"a.pem\", key = \"b.key\" }",
            "the certificate and its key cannot be used",
        ),
        (
            "certificate = { cert = \"a.pem\", key = \"empty.pem\" }",
            "no private key",
        ),
    ];
    for (keys, expected) in cases {
        let text = upstream(&format!(
            "peers = [\"127.0.0.1:1\"]\n[upstream.app.tls]\n{keys}"
        ));
        let listener = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n";
        std::fs::write(&config, format!("{listener}{text}")).unwrap();
        let exit = tidegate(&["check", "--config", config.to_str().unwrap()]);
        assert_eq!(exit.status.code(), Some(1), "{keys}: {}", exit.stderr);
        assert!(exit.stderr.contains(expected), "{keys}: {}", exit.stderr);
        assert!(
            exit.stderr.contains("tidegate.toml:"),
            "{keys}: {}",
            exit.stderr
        );
    }
}

/// Certificates are renewed while the proxy runs, those of others and its own.
#[tokio::test]
async fn files_that_change_are_used_for_new_connections() {
    let (authority, next) = (Authority::new(), Authority::new());
    let origin = Server::of(&next, "127.0.0.1").start().await;
    let proxy = proxy(&authority, &[origin.address()], TRUSTING).await;
    assert_eq!(answer(&proxy).await.status, 502);
    let ca = proxy.folder().join("ca.pem");
    std::fs::write(&ca, "not one").unwrap();
    proxy.has_logged("cannot take over what changed", 1).await;
    std::fs::write(&ca, &next.pem).unwrap();
    until("the new authority to be trusted", async || {
        (answer(&proxy).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(proxy.log_count("reloaded"), 0);
}
