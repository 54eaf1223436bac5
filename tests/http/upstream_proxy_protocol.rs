//! The PROXY protocol towards upstreams: `proxy_protocol` of an upstream.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Authority, ECHO, Origin, Proxy, get, upstream};

/// An origin that keeps what each connection begins with, up to the end of its first head, and answers every
/// request with 204.
async fn listening() -> (Origin, Arc<Mutex<Vec<Vec<u8>>>>) {
    let begun = Arc::new(Mutex::new(Vec::new()));
    let shared = begun.clone();
    let origin = Origin::raw(move |mut stream: TcpStream| {
        let begun = shared.clone();
        async move {
            let mut came = Vec::new();
            let mut first = true;
            while matches!(stream.read_buf(&mut came).await, Ok(1..)) {
                if !came.ends_with(b"\r\n\r\n") {
                    continue;
                }
                if std::mem::take(&mut first) {
                    begun.lock().unwrap().push(came.clone());
                }
                came.clear();
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        }
    })
    .await;
    (origin, begun)
}

async fn proxy(origin: &Origin, version: &str) -> Proxy {
    let keys = format!(
        "peers = [{:?}]\nproxy_protocol = \"{version}\"",
        origin.address()
    );
    Proxy::start(&upstream(&keys)).await
}

#[tokio::test]
async fn version_1_names_both_ends_of_the_clients_connection() {
    let (origin, begun) = listening().await;
    let proxy = proxy(&origin, "v1").await;
    assert_eq!(proxy.get("/").await.status, 204);
    let begun = String::from_utf8(begun.lock().unwrap()[0].clone()).unwrap();
    let line = begun.lines().next().unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(
        words[..4],
        ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1"],
        "{line}"
    );
    assert!(words[4].parse::<u16>().unwrap() > 0);
    let (_, port) = proxy.address().rsplit_once(':').unwrap();
    assert_eq!(words[5], port);
    assert!(begun.contains("\r\nGET / HTTP/1.1\r\n"), "{begun}");
}

#[tokio::test]
async fn version_2_does_so_in_binary() {
    let (origin, begun) = listening().await;
    let proxy = proxy(&origin, "v2").await;
    assert_eq!(proxy.get("/").await.status, 204);
    let begun = begun.lock().unwrap()[0].clone();
    assert_eq!(begun[..12], *b"\r\n\r\n\0\r\nQUIT\n");
    assert_eq!(
        begun[12..16],
        [0x21, 0x11, 0, 12],
        "PROXY, TCP over IPv4, 12 bytes"
    );
    assert_eq!(begun[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
    assert!(begun[28..].starts_with(b"GET / HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_connection_serves_one_client() {
    let (origin, begun) = listening().await;
    let proxy = proxy(&origin, "v1").await;
    let (mut one, mut other) = (proxy.client().await, proxy.client().await);
    for _ in 0..3 {
        assert_eq!(one.send(get("/")).await.status, 204);
        assert_eq!(other.send(get("/")).await.status, 204);
    }
    assert_eq!(origin.accepted(), 2, "kept for the client that it names");
    let begun = begun.lock().unwrap();
    assert_ne!(begun[0], begun[1]);
}

/// Towards another proxy of ours, which says who it was told that the client is.
#[tokio::test]
async fn with_tls_it_comes_first_and_a_connection_still_serves_one_client() {
    let folder = tempfile::TempDir::new().unwrap();
    let authority = Authority::new();
    let own = authority.issue(&["127.0.0.1"]);
    own.write(folder.path(), "own");
    let back = "
[[listener]]
name = \"back\"
address = \"127.0.0.1:0\"
proxy_protocol = { trust = [\"127.0.0.1\"] }
tls = { certificates = [{ cert = \"own.pem\", key = \"own.key\" }] }
[log]
format = \"json\"
access_attributes = [\"client.port\"]
";
    let back = Proxy::start_in(folder, &format!("{back}{ECHO}")).await;
    for version in ["v1", "v2"] {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        let keys = format!(
            "peers = [{:?}]\nproxy_protocol = \"{version}\"\ntls = {{ ca = \"ca.pem\" }}",
            back.address()
        );
        let front = Proxy::start_in(folder, &upstream(&keys)).await;
        let accepted = r#"tidegate_connections_total{listener="back"}"#;
        let before = back.metric(accepted).await;
        let (mut one, mut other) = (front.client().await, front.client().await);
        let mut ports = Vec::new();
        for (client, path) in [(&mut one, "/one"), (&mut other, "/other")] {
            for _ in 0..3 {
                assert_eq!(client.get(path).await.status, 200, "{version}");
            }
            let line = back.access_line(path).await;
            ports.push(line.json()["attributes"]["client.port"].clone());
        }
        assert_eq!(back.metric(accepted).await - before, 2.0, "{version}");
        assert_ne!(ports[0], ports[1], "{version}");
    }
}

#[tokio::test]
async fn a_client_on_a_unix_socket_has_no_address_to_name() {
    let (origin, begun) = listening().await;
    let folder = tempfile::TempDir::new().unwrap();
    let socket = folder.path().join("web.sock");
    let config = format!(
        "[[listener]]\nname = \"web\"\naddress = \"unix:{}\"\n{}",
        socket.display(),
        upstream(&format!(
            "peers = [{:?}]\nproxy_protocol = \"v1\"",
            origin.address()
        ))
    );
    let proxy = Proxy::start(&config).await;
    assert_eq!(proxy.get("/").await.status, 204);
    assert!(begun.lock().unwrap()[0].starts_with(b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n"));
}
