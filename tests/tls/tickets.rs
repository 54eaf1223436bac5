//! Sessions that are resumed.

use tokio_rustls::rustls::HandshakeKind;

use super::{http, listener, proxy};
use crate::harness::{Authority, Proxy, TlsClient};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n";

/// Connects, and reads enough to have got a ticket.
async fn kind(client: &TlsClient, proxy: &Proxy) -> HandshakeKind {
    let mut stream = client.connect(proxy.address()).await.unwrap();
    let answer = http::exchange(&mut stream, REQUEST).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    stream.get_ref().1.handshake_kind().unwrap()
}

#[tokio::test]
async fn a_session_is_resumed_in_both_versions_also_after_a_reload() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "").await;
    let client = TlsClient::new(&authority, "a.example");
    for version in [client.clone().tls12(), client.tls13()] {
        // Tickets of the one are nothing to the other.
        let client = version.with_own_tickets();
        assert_eq!(kind(&client, &proxy).await, HandshakeKind::Full);
        assert_eq!(kind(&client, &proxy).await, HandshakeKind::Resumed);
        let config = std::fs::read_to_string(proxy.folder().join("tidegate.toml")).unwrap();
        proxy.reload(&format!("{config}\n# changed")).await;
        assert_eq!(kind(&client, &proxy).await, HandshakeKind::Resumed);
    }
    let resumed = "tidegate_tls_handshakes_total{resumed=\"true\"}";
    proxy.metric_becomes(resumed, 4.0).await;
}

#[tokio::test]
async fn tickets_can_be_off() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "tickets = \"0s\"").await;
    let client = TlsClient::new(&authority, "a.example");
    for version in [client.clone().tls12(), client.tls13()] {
        let client = version.with_own_tickets();
        for _ in 0..3 {
            assert_eq!(kind(&client, &proxy).await, HandshakeKind::Full);
        }
    }
}

/// A session that began without a certificate does not go on where one is required, though the listener is the
/// same.
#[tokio::test]
async fn a_ticket_of_one_name_or_setting_is_nothing_to_another() {
    let authority = Authority::new();
    let folder = tempfile::TempDir::new().unwrap();
    authority.issue(&["a.example"]).write(folder.path(), "a");
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let certificate = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]";
    let with = |required: bool| {
        listener(&format!(
            "{certificate}\nclient_certificates = {{ ca = \"ca.pem\", required = {required} }}"
        ))
    };
    let proxy = Proxy::start_in(folder, &with(false)).await;
    for version in [
        |client: TlsClient| client.tls12(),
        |client: TlsClient| client.tls13(),
    ] {
        let client = version(TlsClient::new(&authority, "a.example"));
        assert_eq!(kind(&client, &proxy).await, HandshakeKind::Full);
        assert_eq!(kind(&client, &proxy).await, HandshakeKind::Resumed);
        proxy.reload(&with(true)).await;
        let refused = super::client_certificates::request(&client, &proxy).await;
        assert!(refused.is_err(), "{refused:?}");
        proxy.reload(&with(false)).await;
    }
}
