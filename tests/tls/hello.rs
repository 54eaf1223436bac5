//! What comes first on a connection: too much, too slowly, or not TLS.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{ONE, proxy, refused};
use crate::harness::{Authority, ECHO, Proxy, TlsClient, soon, until};

/// A ClientHello in records of so many bytes each.
fn fragmented(hello: &[u8], size: usize) -> Vec<u8> {
    let pieces = hello[5..].chunks(size);
    let record = |piece: &[u8]| {
        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
        [&[22, 3, 1], &length[..], piece].concat()
    };
    pieces.flat_map(record).collect()
}

/// What the other side sends until it closes.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end too.
    let _ = soon("the end of the connection", stream.read_to_end(&mut all)).await;
    all
}

/// A client that says what it wants, and then nothing more.
async fn stopped(proxy: &Proxy, hello: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(hello).await.unwrap();
    stream
}

/// A connection from this address.
async fn from(address: &str, proxy: &Proxy) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(format!("{address}:0").parse().unwrap())
        .unwrap();
    let connected = socket.connect(proxy.address().parse().unwrap()).await;
    connected.unwrap()
}

async fn with_limits(authority: &Authority, limits: &str) -> Proxy {
    let folder = tempfile::TempDir::new().unwrap();
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let listener = super::listener(ONE);
    Proxy::start_in(folder, &format!("[limits]\n{limits}\n{listener}")).await
}

#[tokio::test]
async fn http_without_tls_is_told_so() {
    let proxy = proxy(&Authority::new(), "").await;
    let mut wire = proxy.wire().await;
    let body = "x".repeat(30_000);
    wire.send(format!(
        "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 30000\r\n\r\n{body}"
    ))
    .await;
    let answer = wire.response().await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("https"), "{}", answer.text());
    assert!(wire.rest().await.is_empty());
    proxy.metric_becomes(&refused("plaintext"), 1.0).await;
}

#[tokio::test]
async fn what_is_neither_is_closed() {
    let proxy = proxy(&Authority::new(), "").await;
    for garbage in [
        &b"\x00\x01\x02"[..],
        b"\x80\x2e\x01\x00\x02",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
    ] {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(
            answer.is_empty() || answer[0] == 21,
            "{garbage:?}: {answer:?}"
        );
    }
    assert!(proxy.metric(&refused("tls")).await >= 2.0);
    proxy.metric_becomes("tidegate_connections", 0.0).await;
}

#[tokio::test]
async fn a_hello_may_come_in_pieces_but_not_be_too_large() {
    let authority = Authority::new();
    let proxy = with_limits(&authority, "client_hello_bytes = \"2KiB\"").await;
    let client = TlsClient::new(&authority, "a.example");
    let small = client.hello().await;
    assert!(small.len() < 1024, "{}", small.len());
    let many: Vec<String> = (0..200).map(|n| format!("protocol-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let large = client.offering(&many).hello().await;
    assert!(large.len() > 2048, "{}", large.len());
    for (hello, answered) in [
        (fragmented(&small, 100), true),
        (large.clone(), false),
        (fragmented(&large, 500), false),
        // Each byte brings a head of five.
        (fragmented(&small, 1), small.len() * 6 <= 2048),
    ] {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        // The proxy may close before it has all.
        let _ = stream.write_all(&hello).await;
        let mut first = [0];
        let read = soon("an answer or the end", stream.read(&mut first)).await;
        // 22 is a ServerHello.
        let has = read.is_ok_and(|count| count == 1) && first[0] == 22;
        assert_eq!(has, answered, "{} bytes", hello.len());
    }
    proxy
        .metric_becomes(
            &refused("client-hello"),
            2.0 + f64::from(u8::from(small.len() * 6 > 2048)),
        )
        .await;
}

#[tokio::test]
async fn a_handshake_has_a_deadline_as_a_whole() {
    let authority = Authority::new();
    let proxy = with_limits(&authority, "handshake_timeout = \"300ms\"").await;
    let hello = TlsClient::new(&authority, "a.example").hello().await;
    let mut silent = TcpStream::connect(proxy.address()).await.unwrap();
    let mut half = TcpStream::connect(proxy.address()).await.unwrap();
    half.write_all(&hello[..20]).await.unwrap();
    let mut stopped = stopped(&proxy, &hello).await;
    let mut dribbling = TcpStream::connect(proxy.address()).await.unwrap();
    let dribble = async {
        for byte in &hello {
            if dribbling.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the dribbling client to be cut off", dribble).await;
    for stream in [&mut silent, &mut half, &mut stopped] {
        rest(stream).await;
    }
    proxy
        .metric_becomes(&refused("handshake-timeout"), 4.0)
        .await;
    proxy.metric_becomes("tidegate_connections", 0.0).await;
}

#[tokio::test]
async fn handshakes_at_once_are_capped_and_connections_after_them_are_not() {
    let authority = Authority::new();
    let proxy = with_limits(&authority, "handshakes = 2").await;
    let client = TlsClient::new(&authority, "a.example");
    // What is through its handshake does not count.
    let mut open = Vec::new();
    for count in 1..=4 {
        open.push(client.connect(proxy.address()).await.unwrap());
        // A client is through before the proxy is.
        let done = "tidegate_tls_handshakes_total";
        proxy.metric_becomes(done, f64::from(count)).await;
    }
    let hello = client.hello().await;
    let mut waiting = Vec::new();
    until("the cap to be reached", async || {
        // The place of the last handshake may not be free yet; then this one is refused, and the next is not.
        waiting.push(stopped(&proxy, &hello).await);
        let tried = client.connect(proxy.address()).await;
        tried.is_err().then_some(())
    })
    .await;
    until("it to be counted", async || {
        (proxy.metric(&refused("handshakes")).await >= 1.0).then_some(())
    })
    .await;
    drop(waiting);
    until("places to be free again", async || {
        client.connect(proxy.address()).await.ok()
    })
    .await;
}

/// Who says nothing, or not all of it, takes no place among the handshakes.
#[tokio::test]
async fn the_silent_do_not_keep_others_from_a_handshake() {
    let authority = Authority::new();
    let proxy = with_limits(
        &authority,
        "handshakes = 1\nhandshakes_per_address = 1\nhandshake_timeout = \"1m\"",
    )
    .await;
    let client = TlsClient::new(&authority, "a.example");
    let hello = client.hello().await;
    let mut silent = Vec::new();
    for count in 0..40 {
        silent.push(stopped(&proxy, &hello[..count]).await);
    }
    proxy.metric_becomes("tidegate_connections", 40.0).await;
    client.connect(proxy.address()).await.unwrap();
    for reason in ["handshakes", "handshakes-per-address"] {
        assert_eq!(proxy.metric(&refused(reason)).await, 0.0, "{reason}");
    }
}

#[tokio::test]
async fn one_address_has_a_share_of_the_handshakes() {
    let authority = Authority::new();
    let proxy = with_limits(
        &authority,
        "handshakes = 100\nhandshakes_per_address = 2\nhandshake_timeout = \"1m\"",
    )
    .await;
    let client = TlsClient::new(&authority, "a.example");
    let hello = client.hello().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(stopped(&proxy, &hello).await);
        // An answer: the place is taken.
        let mut first = [0];
        soon("an answer", held.last_mut().unwrap().read_exact(&mut first))
            .await
            .unwrap();
    }
    assert!(client.connect(proxy.address()).await.is_err());
    proxy
        .metric_becomes(&refused("handshakes-per-address"), 1.0)
        .await;
    let other = from("127.0.0.2", &proxy).await;
    client.shake(other).await.unwrap();
    drop(held);
    until("the share to be free again", async || {
        client.connect(proxy.address()).await.ok()
    })
    .await;
    assert_eq!(proxy.metric(&refused("handshakes")).await, 0.0);
}

/// A client that stops in the middle of things holds nothing up.
#[tokio::test]
async fn a_stop_does_not_wait_for_handshakes() {
    let authority = Authority::new();
    let mut proxy = proxy(&authority, "").await;
    let _silent = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.metric_becomes("tidegate_connections", 1.0).await;
    proxy.signal("-TERM");
    assert!(proxy.wait().await.success());
}

/// Reload takes TLS away and brings it back, on the same port.
#[tokio::test]
async fn tls_comes_and_goes_with_the_configuration() {
    let authority = Authority::new();
    let folder = tempfile::TempDir::new().unwrap();
    authority.issue(&["a.example"]).write(folder.path(), "a");
    // A port of the system's choice stays the listener's, by its name.
    let plain = format!("[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{ECHO}");
    let proxy = Proxy::start_in(folder, &plain).await;
    let client = TlsClient::new(&authority, "a.example");
    assert_eq!(proxy.get("/").await.status, 200);
    assert!(client.connect(proxy.address()).await.is_err());
    proxy.reload(&super::listener(ONE)).await;
    client.connect(proxy.address()).await.unwrap();
    proxy.reload(&plain).await;
    assert_eq!(proxy.get("/").await.status, 200);
}
