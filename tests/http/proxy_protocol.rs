//! The PROXY protocol in front of a plaintext listener, byte by byte.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

use crate::harness::{Client, ECHO, Proxy, Wire, get, with_header};

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A version 2 header from 203.0.113.7:4711, with these TLVs.
fn binary(tlvs: &[u8]) -> Vec<u8> {
    let ends = [203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb];
    let length = u16::try_from(ends.len() + tlvs.len()).unwrap();
    [SIGNATURE, &[0x21, 0x11], &length.to_be_bytes(), &ends, tlvs].concat()
}

/// A version 2 header of a balancer that asks for itself.
fn local() -> Vec<u8> {
    [SIGNATURE, &[0x20, 0, 0, 0]].concat()
}

/// A listener with these keys beside its name and address, and more sections before the echo.
async fn listening(keys: &str, more: &str) -> Proxy {
    Proxy::start(&configuration(keys, more)).await
}

fn configuration(keys: &str, more: &str) -> String {
    format!(
        "
[log]
format = \"json\"
access_attributes = [\"peer.address\", \"client.port\", \"proxy.authority\", \"proxy.tls.cn\", \"proxy.tlv.ea\"]

[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
{keys}
{more}
{ECHO}"
    )
}

/// A listener that takes headers from the machine itself.
async fn trusting() -> Proxy {
    listening("proxy_protocol = { trust = [\"127.0.0.1\"] }", "").await
}

/// A connection that begins with these bytes.
async fn begun(proxy: &Proxy, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(bytes.as_ref()).await.unwrap();
    stream
}

/// Whose request it is, by the access log.
async fn client_of(proxy: &Proxy, path: &str) -> String {
    let line = proxy.access_line(path).await;
    line.field("client").unwrap_or_default()
}

async fn refused(proxy: &Proxy, reason: &str, count: f64) {
    let series =
        format!("tidegate_connections_refused_total{{listener=\"web\",reason=\"{reason}\"}}");
    proxy.metric_becomes(&series, count).await;
}

#[tokio::test]
async fn the_header_says_whose_connection_it_is() {
    let proxy = trusting().await;
    for (path, header) in [("/v1", LINE.to_vec()), ("/v2", binary(b""))] {
        let mut client = Client::h1_on(begun(&proxy, &header).await).await;
        let echo = client.get(path).await.json();
        let sent = &echo["headers"]["x-forwarded-for"];
        assert_eq!(sent, &serde_json::json!(["203.0.113.7"]));
        assert_eq!(client_of(&proxy, path).await, "203.0.113.7");
        let line = proxy.access_line(path).await;
        assert_eq!(line.json()["attributes"]["peer.address"], "127.0.0.1");
        assert_eq!(line.json()["attributes"]["client.port"], "4711");
        // It is the connection's, not the first request's.
        client.get("/again").await;
        assert_eq!(client_of(&proxy, "/again").await, "203.0.113.7");

        let mut client = Client::h2_on(begun(&proxy, &header).await).await;
        let path = format!("{path}-h2");
        assert_eq!(client.get(&path).await.status, 200);
        assert_eq!(client_of(&proxy, &path).await, "203.0.113.7");
    }
}

#[tokio::test]
async fn tlvs_are_attributes() {
    let proxy = trusting().await;
    let tls = b"\x20\0\x0d\x03\0\0\0\0\x22\0\x05alice";
    let tlvs = [&b"\x02\0\x09a.example"[..], tls, b"\xea\0\x05\x01vpce"].concat();
    let mut client = Client::h1_on(begun(&proxy, binary(&tlvs)).await).await;
    client.get("/").await;
    let line = proxy.access_line("/").await;
    let attributes = &line.json()["attributes"];
    assert_eq!(attributes["proxy.authority"], "a.example");
    assert_eq!(attributes["proxy.tls.cn"], "alice");
    assert_eq!(attributes["proxy.tlv.ea"], "\u{1}vpce");
}

#[tokio::test]
async fn bytes_may_come_one_by_one_or_all_at_once() {
    let proxy = trusting().await;
    for header in [LINE, &binary(b"\x04\0\x03xxx")] {
        let mut wire = proxy.wire().await;
        wire.send([header, REQUEST.as_bytes()].concat()).await;
        assert_eq!(wire.response().await.status, 200);
        let mut wire = proxy.wire().await;
        for byte in [header, REQUEST.as_bytes()].concat() {
            wire.send([byte]).await;
        }
        assert_eq!(wire.response().await.status, 200);
    }
}

#[tokio::test]
async fn a_balancer_may_speak_for_itself() {
    let proxy = trusting().await;
    for (path, header) in [
        ("/unknown", b"PROXY UNKNOWN\r\n".to_vec()),
        ("/local", local()),
    ] {
        let mut client = Client::h1_on(begun(&proxy, &header).await).await;
        assert_eq!(client.get(path).await.status, 200);
        assert_eq!(client_of(&proxy, path).await, "127.0.0.1");
    }
}

#[tokio::test]
async fn without_a_valid_header_the_connection_is_closed() {
    let proxy = trusting().await;
    let too_long = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
    let cases = [
        REQUEST.as_bytes(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 +4711 443\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\n",
        &binary(b"\x02\0\x09a"),
        &binary(b"\x03\0\x04\0\0\0\0"),
        &too_long,
        &[b'P'; 200],
        // Cloudflare's has to be asked for.
        b"\x56\xec",
    ];
    for bytes in cases {
        let answer = proxy.raw([bytes, REQUEST.as_bytes()].concat()).await;
        assert!(answer.is_empty(), "{:?}", answer.escape_ascii().to_string());
    }
    refused(&proxy, "proxy-protocol", cases.len() as f64).await;
    // One that looks whether somebody listens is not refused.
    drop(TcpStream::connect(proxy.address()).await.unwrap());
    // One that goes away amidst its header is, and at once.
    drop(begun(&proxy, &LINE[..9]).await);
    refused(&proxy, "proxy-protocol", cases.len() as f64 + 1.0).await;
}

#[tokio::test]
async fn a_header_has_to_come_in_time() {
    let proxy = listening(
        "proxy_protocol = { trust = [\"127.0.0.1\"] }",
        "[limits]\nhandshake_timeout = \"1s\"",
    )
    .await;
    let start = Instant::now();
    let mut waiting = Vec::new();
    for part in [&LINE[..0], &LINE[..20], &binary(b"")[..20]] {
        let mut wire = proxy.wire().await;
        wire.send(part).await;
        waiting.push(wire);
    }
    for mut wire in waiting {
        assert!(wire.rest().await.is_empty());
    }
    let took = start.elapsed();
    let expected = Duration::from_millis(900)..Duration::from_secs(8);
    assert!(expected.contains(&took), "{took:?}");
    refused(&proxy, "handshake-timeout", 3.0).await;
    let used = proxy.cpu_time();
    assert!(
        used < Duration::from_millis(900),
        "it waits, and does not look again and again: {used:?}"
    );
}

#[tokio::test]
async fn nobody_else_may_say_whose_connection_it_is() {
    let proxy = listening("proxy_protocol = { trust = [\"10.0.0.0/8\"] }", "").await;
    for header in [LINE, &binary(b"")] {
        let answer = proxy.raw([header, REQUEST.as_bytes()].concat()).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 400 "),
            "{:?}",
            answer.escape_ascii().to_string()
        );
    }
    assert_eq!(proxy.get("/without").await.status, 200);
    assert_eq!(client_of(&proxy, "/without").await, "127.0.0.1");
}

#[tokio::test]
async fn a_header_may_be_optional() {
    let proxy = listening(
        "proxy_protocol = { trust = [\"127.0.0.1\"], accept = [\"v2\"], optional = true }",
        "",
    )
    .await;
    assert_eq!(proxy.get("/without").await.status, 200);
    assert_eq!(client_of(&proxy, "/without").await, "127.0.0.1");
    assert_eq!(proxy.h2_client().await.get("/h2").await.status, 200);
    let mut client = Client::h1_on(begun(&proxy, binary(b"")).await).await;
    assert_eq!(client.get("/with").await.status, 200);
    assert_eq!(client_of(&proxy, "/with").await, "203.0.113.7");
    // What is one is read as one.
    for header in [LINE, &binary(b"\x02")] {
        assert!(
            proxy
                .raw([header, REQUEST.as_bytes()].concat())
                .await
                .is_empty()
        );
    }
    refused(&proxy, "proxy-protocol", 2.0).await;
}

#[tokio::test]
async fn cloudflares_header_can_be_accepted() {
    let keys = "proxy_protocol = { trust = [\"127.0.0.1\"], accept = [\"spectrum\"] }";
    let proxy = listening(keys, "").await;
    let client = Ipv4Addr::new(203, 0, 113, 7).to_ipv6_mapped().octets();
    let header = [
        &[0x56, 0xec][..],
        &client,
        &[0; 16],
        &[0x12, 0x67, 0x01, 0xbb],
    ]
    .concat();
    let mut client = Client::h1_on(begun(&proxy, header).await).await;
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(client_of(&proxy, "/").await, "203.0.113.7");
}

#[tokio::test]
async fn caps_are_those_of_the_clients() {
    let keys = "proxy_protocol = { trust = [\"127.0.0.1\"] }";
    let proxy = listening(keys, "[limits]\nconnections_per_address = 1").await;
    let mut open = Vec::new();
    let own = local();
    let other: &[u8] = b"PROXY TCP4 203.0.113.8 192.0.2.1 1 443\r\n";
    // The balancer has many connections, each client one.
    for header in [&own, &own, &own, LINE, other] {
        let mut client = Client::h1_on(begun(&proxy, header).await).await;
        assert_eq!(client.get("/").await.status, 200);
        open.push(client);
    }
    assert!(
        proxy
            .raw([LINE, REQUEST.as_bytes()].concat())
            .await
            .is_empty()
    );
    refused(&proxy, "per-address", 1.0).await;
    // Who is not trusted is counted as ever.
    let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let mut first = Wire::connect_from(from, proxy.address()).await;
    first.send(REQUEST).await;
    assert_eq!(first.response().await.status, 200);
    let mut second = Wire::connect_from(from, proxy.address()).await;
    assert!(second.rest().await.is_empty());
}

/// Where the header is optional, whoever may send it may be a plain client, and one that has not spoken yet too.
#[tokio::test]
async fn who_leaves_the_header_out_has_a_cap() {
    let keys = "proxy_protocol = { trust = [\"127.0.0.0/8\"], optional = true }";
    let proxy = listening(keys, "[limits]\nconnections_per_address = 1").await;
    let from = |last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    let mut first = Wire::connect_from(from(2), proxy.address()).await;
    first.send(REQUEST).await;
    assert_eq!(first.response().await.status, 200);
    let mut second = Wire::connect_from(from(2), proxy.address()).await;
    second.send(REQUEST).await;
    assert!(second.rest().await.is_empty());
    refused(&proxy, "per-address", 1.0).await;
    let open = "tidegate_connections{listener=\"web\"}";
    proxy.metric_becomes(open, 1.0).await;
    let _silent = Wire::connect_from(from(3), proxy.address()).await;
    // Of two that come together, either could be the first.
    proxy.metric_becomes(open, 2.0).await;
    let mut next = Wire::connect_from(from(3), proxy.address()).await;
    next.try_send(REQUEST).await;
    assert!(next.rest().await.is_empty());
    refused(&proxy, "per-address", 2.0).await;
    // Who sends one has none: whom it names has.
    let other: &[u8] = b"PROXY TCP4 203.0.113.8 192.0.2.1 1 443\r\n";
    let mut open = Vec::new();
    for header in [&local(), &local(), LINE, other] {
        let mut client = Client::h1_on(begun(&proxy, header).await).await;
        assert_eq!(client.get("/").await.status, 200);
        open.push(client);
    }
    let answer = proxy.raw([LINE, REQUEST.as_bytes()].concat()).await;
    assert!(answer.is_empty());
}

#[tokio::test]
async fn on_a_unix_socket_everybody_may_send_it() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("web.sock");
    let address = format!("unix:{}", socket.display());
    let keys = "proxy_protocol = { trust = [\"10.0.0.0/8\"] }\ntrusted_proxies = [\"10.0.0.0/8\"]";
    let config = configuration(keys, "").replace("127.0.0.1:0", &address);
    let proxy = Proxy::start_in(folder, &config).await;
    let mut stream = UnixStream::connect(&socket).await.unwrap();
    stream.write_all(LINE).await.unwrap();
    let mut client = Client::h1_on(stream).await;
    // Who is named there is not trusted any further.
    client
        .send(with_header(get("/"), "x-forwarded-for", "6.6.6.6"))
        .await;
    assert_eq!(client_of(&proxy, "/").await, "203.0.113.7");
    let mut unused = UnixStream::connect(&socket).await.unwrap();
    unused.write_all(REQUEST.as_bytes()).await.unwrap();
    refused(&proxy, "proxy-protocol", 1.0).await;
}

#[tokio::test]
async fn forwarding_fields_are_believed_of_whom_the_header_names() {
    let keys = "proxy_protocol = { trust = [\"127.0.0.1\"] }\ntrusted_proxies = [\"127.0.0.1\", \"198.51.100.0/24\"]";
    let proxy = listening(keys, "").await;
    let network: &[u8] = b"PROXY TCP4 198.51.100.9 192.0.2.1 1 443\r\n";
    for (path, header, client) in [
        ("/cdn", network, "6.6.6.6"),
        ("/other", LINE, "203.0.113.7"),
    ] {
        let mut connection = Client::h1_on(begun(&proxy, header).await).await;
        let request = with_header(get(path), "x-forwarded-for", "6.6.6.6");
        connection.send(request).await;
        assert_eq!(client_of(&proxy, path).await, client);
    }
}

#[tokio::test]
async fn a_reload_changes_who_is_trusted() {
    let with = |trust: &str| {
        let keys = format!("proxy_protocol = {{ trust = [{trust:?}] }}");
        configuration(&keys, "")
    };
    let proxy = Proxy::start(&with("127.0.0.1")).await;
    let mut before = Client::h1_on(begun(&proxy, LINE).await).await;
    before.get("/before").await;
    proxy.reload(&with("10.0.0.0/8")).await;
    let answer = proxy.raw([LINE, REQUEST.as_bytes()].concat()).await;
    assert!(answer.starts_with(b"HTTP/1.1 400 "));
    // A connection stays whose it was.
    before.get("/after").await;
    assert_eq!(client_of(&proxy, "/after").await, "203.0.113.7");
}
