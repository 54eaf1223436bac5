//! Tunnels over TLS, on both sides.

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::websocket::{ASKS, echo, read_head, switched};
use crate::harness::{Authority, Origin, Proxy, TlsClient, soon};

use super::extended_connect::{ask, asking, connect_on};

/// A proxy between TLS and TLS, and a client that trusts it.
async fn between() -> (Origin, Proxy, TlsClient) {
    let authority = Authority::new();
    let acceptor = authority.acceptor();
    let origin = Origin::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let (head, _) = read_head(&mut stream).await.unwrap();
            let answer = switched(&head) + "greeting";
            stream.write_all(answer.as_bytes()).await.unwrap();
            echo(stream).await;
        }
    })
    .await;
    let folder = TempDir::new().unwrap();
    let issued = authority.issue(&["test.example"]);
    issued.write(folder.path(), "web");
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let config = format!(
        r#"
[[listener]]
name = "web"
address = "127.0.0.1:0"

[listener.tls]
certificates = [{{ cert = "web.pem", key = "web.key" }}]

[[route]]
name = "all"
upstream = "app"

[upstream.app]
peers = [{:?}]

[upstream.app.tls]
ca = "ca.pem"
"#,
        origin.address()
    );
    let proxy = Proxy::start_in(folder, &config).await;
    let client = TlsClient::new(&authority, "test.example");
    (origin, proxy, client)
}

#[tokio::test]
async fn http_1_1() {
    let (_origin, proxy, client) = between().await;
    let mut stream = client.connect(proxy.address()).await.unwrap();
    let request = format!("GET /ws HTTP/1.1\r\n{ASKS}\r\nearly");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (head, mut came) = soon("an answer", read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream.write_all(b" and late").await.unwrap();
    stream.shutdown().await.unwrap();
    soon("the end", stream.read_to_end(&mut came))
        .await
        .unwrap();
    assert_eq!(String::from_utf8(came).unwrap(), "greetingearly and late");
    let line = proxy.access_line("/ws").await;
    assert_eq!(line.field("error"), None, "{}", line.text);
}

#[tokio::test]
async fn http_2() {
    let (_origin, proxy, client) = between().await;
    let stream = client.offering(&["h2"]).connect(proxy.address()).await;
    let mut client = connect_on(stream.unwrap()).await;
    let mut tunnel = ask(&mut client, asking("websocket", &[])).await;
    assert_eq!(tunnel.status, 200);
    tunnel.send("hello", true);
    assert_eq!(tunnel.receive(13).await, b"greetinghello");
}
