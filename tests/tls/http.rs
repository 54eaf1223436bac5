//! HTTP within TLS: what is told of it, and how connections end.

use std::io::ErrorKind;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{ONE, proxy};
use crate::harness::{
    Authority, Origin, Proxy, TlsClient, get, post, route_to, soon, until, with_header,
};

/// Sends bytes and gives all that comes until the end that TLS announces.
pub(super) async fn exchange(stream: &mut TlsStream<TcpStream>, bytes: &[u8]) -> Bytes {
    stream.write_all(bytes).await.unwrap();
    let mut all = Vec::new();
    soon("an announced end", stream.read_to_end(&mut all))
        .await
        .unwrap();
    all.into()
}

#[tokio::test]
async fn both_protocols_carry_requests_and_say_https() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "").await;
    let client = TlsClient::new(&authority, "a.example");
    for (mut client, protocol) in [
        (client.h1(proxy.address()).await, "HTTP/1.1"),
        (client.h2(proxy.address()).await, "HTTP/2"),
    ] {
        let big = "x".repeat(300_000);
        for body in ["", "hello", &big] {
            let request = with_header(post("/path", body.to_owned()), "host", "a.example");
            let answer = client.send(request).await;
            assert_eq!(answer.status, 200);
            let echo: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(echo["headers"]["x-forwarded-proto"][0], "https");
            assert_eq!(echo["version"], protocol);
            assert_eq!(echo["body_bytes"], body.len());
        }
    }
}

#[tokio::test]
async fn the_access_log_says_how_tls_was_spoken() {
    let authority = Authority::new();
    let folder = tempfile::TempDir::new().unwrap();
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let listener = super::listener(ONE);
    let log = "[log]\nformat = \"json\"\naccess_attributes = [\"tls.alpn\", \"tls.resumed\"]\n";
    let proxy = Proxy::start_in(folder, &format!("{log}{listener}")).await;
    let client = TlsClient::new(&authority, "a.example").tls13();
    let request = with_header(get("/logged"), "host", "a.example");
    client.h2(proxy.address()).await.send(request).await;
    let line = proxy.access_line("/logged").await;
    let tls = &line.json()["tls"];
    assert_eq!(tls["version"], "TLSv1.3");
    assert_eq!(tls["cipher"], "TLS_AES_256_GCM_SHA384");
    assert_eq!(tls["server_name"], "a.example");
    assert_eq!(line.json()["attributes"]["tls.alpn"], "h2");
    assert_eq!(line.json()["attributes"]["tls.resumed"], "false");
}

#[tokio::test]
async fn an_orderly_end_is_announced() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "").await;
    let client = TlsClient::new(&authority, "a.example");
    for request in [
        "GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n",
        // Refused by the engine, and before it.
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a.example\r\n\r\n",
        "not HTTP at all\r\n\r\n",
    ] {
        let mut stream = client.connect(proxy.address()).await.unwrap();
        let answer = exchange(&mut stream, request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 "), "{request}: {answer:?}");
    }
}

/// Whether all of it came must not be taken from a connection that was cut.
#[tokio::test]
async fn a_response_that_breaks_off_has_no_announced_end() {
    let authority = Authority::new();
    let origin = Origin::raw(async |mut stream: TcpStream| {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await;
        let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun";
        stream.write_all(begun).await.unwrap();
    })
    .await;
    let folder = tempfile::TempDir::new().unwrap();
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let listener = super::listener(ONE);
    let listener = listener.trim_end_matches(super::ECHO);
    let proxy = Proxy::start_in(folder, &format!("{listener}{}", route_to(&origin))).await;
    let client = TlsClient::new(&authority, "a.example");
    let mut stream = client.connect(proxy.address()).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await
        .unwrap();
    let mut all = Vec::new();
    let end = soon("the end", stream.read_to_end(&mut all)).await;
    assert!(all.ends_with(b"begun"), "{}", String::from_utf8_lossy(&all));
    assert_eq!(end.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn what_was_agreed_on_is_what_is_spoken() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "").await;
    let client = TlsClient::new(&authority, "a.example");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let request = b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n";
    for (alpn, bytes, answered) in [
        (&["http/1.1"][..], &preface[..], false),
        (&["h2"], &request[..], false),
        (&["h2"], &preface[..], true),
        (&[], &preface[..], true),
        (&[], &request[..], true),
    ] {
        let client = client.clone().offering(alpn);
        let mut stream = client.connect(proxy.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut first = [0];
        let read = soon("an answer or the end", stream.read(&mut first)).await;
        assert_eq!(read.is_ok_and(|count| count > 0), answered, "{alpn:?}");
    }
    proxy
        .metric_becomes(&super::refused("application-protocol"), 2.0)
        .await;
}

/// Neither by saying so nor by going away.
#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "").await;
    let client = TlsClient::new(&authority, "a.example").offering(&["http/1.1"]);
    let mut polite = client.connect(proxy.address()).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n";
    polite.write_all(request).await.unwrap();
    polite.read_exact(&mut [0; 12]).await.unwrap();
    let abrupt = client.connect(proxy.address()).await.unwrap();
    proxy.metric_becomes("tidegate_connections", 2.0).await;
    polite.shutdown().await.unwrap();
    drop(abrupt);
    proxy.metric_becomes("tidegate_connections", 0.0).await;
}

/// A client that reads nothing holds a buffer, not a connection for ever.
#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let authority = Authority::new();
    let folder = tempfile::TempDir::new().unwrap();
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let body = "x".repeat(200_000);
    let listener = super::listener(ONE);
    let listener = listener.trim_end_matches(super::ECHO);
    let config = format!(
        "[limits]\nwrite_timeout = \"300ms\"\n{listener}\n[[route]]\nname = \"all\"\nrespond = {{ body = \"{body}\" }}\n"
    );
    let proxy = Proxy::start_in(folder, &config).await;
    let client = TlsClient::new(&authority, "a.example").offering(&["http/1.1"]);
    let mut stream = client.connect(proxy.address()).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n";
    // Enough of them that no buffer of the system takes all answers.
    let mut asked = 0;
    until("the proxy to close", async || {
        if asked < 100 {
            asked += 1;
            let _ = stream.write_all(request).await;
        }
        (asked == 100 && proxy.metric("tidegate_connections").await == 0.0).then_some(())
    })
    .await;
}
