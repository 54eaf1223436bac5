//! The PROXY protocol as others send it: curl and HAProxy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{
    Authority, Client, ECHO, Proxy, TlsClient, get, run, tool, until, with_header,
};

async fn trusting() -> Proxy {
    Proxy::start(&format!(
        "
[log]
format = \"json\"
access_attributes = [\"proxy.authority\", \"proxy.alpn\", \"proxy.unique-id\", \"proxy.tls.version\", \"proxy.tls.cn\"]

[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
proxy_protocol = {{ trust = [\"127.0.0.1\", \"127.0.0.9\"] }}
{ECHO}"
    ))
    .await
}

#[tokio::test]
async fn curl_sends_version_1() {
    let Some(program) = tool("curl") else { return };
    let proxy = trusting().await;
    let mut curl = Command::new(program);
    curl.args(["--silent", "--noproxy", "*", "--max-time", "20"])
        .args(["--haproxy-protocol", "--interface", "127.0.0.9"])
        .arg(proxy.url("/curl"));
    let exit = run(curl).await;
    assert!(exit.status.success(), "{}", exit.stderr);
    let line = proxy.access_line("/curl").await;
    assert_eq!(line.field("client").as_deref(), Some("127.0.0.9"));
}

/// HAProxy in one process, between us and a proxy; killed when it is dropped.
struct HaProxy {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl HaProxy {
    /// With these options of `bind` and `server`; `None` where it is not installed.
    async fn start(folder: TempDir, bind: &str, proxy: &Proxy, server: &str) -> Option<HaProxy> {
        let program = tool("haproxy")?;
        // It cannot be asked which port it got, so it is given one that was free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let config = format!(
            "
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend in
    bind {address} {bind}
    unique-id-format id-%pid
    default_backend out
backend out
    server proxy {} {server}
",
            proxy.address()
        );
        let path = folder.path().join("haproxy.cfg");
        std::fs::write(&path, config).unwrap();
        let child = Command::new(program)
            .args(["-db", "-f"])
            .arg(&path)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let haproxy = HaProxy {
            child,
            address,
            _folder: folder,
        };
        until("HAProxy to listen", async || {
            TcpStream::connect(address).await.ok()
        })
        .await;
        Some(haproxy)
    }

    /// A connection from an address that only HAProxy sees.
    async fn connect(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn haproxy_sends_both_versions() {
    for server in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c",
    ] {
        let proxy = trusting().await;
        let folder = TempDir::new().unwrap();
        let Some(haproxy) = HaProxy::start(folder, "", &proxy, server).await else {
            return;
        };
        let mut client = Client::h1_on(haproxy.connect().await).await;
        assert_eq!(client.get("/h1").await.status, 200, "{server}");
        let mut client = Client::h2_on(haproxy.connect().await).await;
        assert_eq!(client.get("/h2").await.status, 200, "{server}");
        for path in ["/h1", "/h2"] {
            let line = proxy.access_line(path).await;
            assert_eq!(line.field("client").as_deref(), Some("127.0.0.77"));
        }
    }
}

#[tokio::test]
async fn haproxy_says_how_its_client_speaks_tls() {
    let proxy = trusting().await;
    let folder = TempDir::new().unwrap();
    let authority = Authority::new();
    let own = authority.issue(&["a.example"]);
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("own.pem", own.cert + &own.key);
    write("ca.pem", authority.pem.clone());
    let bind = "ssl crt own.pem ca-file ca.pem verify optional alpn h2,http/1.1";
    let options = "crc32c,ssl,cert-cn,authority,unique-id";
    let server = format!("send-proxy-v2 proxy-v2-options {options}");
    let Some(haproxy) = HaProxy::start(folder, bind, &proxy, &server).await else {
        return;
    };
    let tls = TlsClient::new(&authority, "a.example")
        .offering(&["h2"])
        .tls13()
        .showing(&authority.issue_client("alice"));
    let stream = tls.shake(haproxy.connect().await).await.unwrap();
    assert_eq!(Client::h2_on(stream).await.get("/").await.status, 200);
    let line = proxy.access_line("/").await;
    assert_eq!(line.field("client").as_deref(), Some("127.0.0.77"));
    let attributes = &line.json()["attributes"];
    assert_eq!(attributes["proxy.authority"], "a.example");
    assert_eq!(attributes["proxy.alpn"], "h2");
    assert_eq!(attributes["proxy.tls.version"], "TLSv1.3");
    assert_eq!(attributes["proxy.tls.cn"], "alice");
    let id = attributes["proxy.unique-id"].as_str().unwrap_or_default();
    assert!(id.starts_with("id-"), "{attributes}");
}

#[tokio::test]
async fn it_comes_before_tls() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new();
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let config = format!(
        "
[log]
format = \"json\"
access_attributes = [\"tls.server-name\", \"proxy.authority\"]

[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
proxy_protocol = {{ trust = [\"127.0.0.1\"] }}
[listener.tls]
certificates = [{{ cert = \"a.pem\", key = \"a.key\" }}]
{ECHO}"
    );
    let proxy = Proxy::start_in(folder, &config).await;
    let tls = TlsClient::new(&authority, "a.example").offering(&["h2"]);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xcb\0\x71\x07\xc0\0\x02\x01\x12\x67\x01\xbb\x02\0\x04edge";
    stream.write_all(header).await.unwrap();
    let mut client = Client::h2_on(tls.shake(stream).await.unwrap()).await;
    let request = with_header(get("/"), "host", "a.example");
    let request = with_header(request, "x-forwarded-for", "6.6.6.6");
    let echo = client.send(request).await.json();
    let expected = serde_json::json!(["203.0.113.7"]);
    assert_eq!(echo["headers"]["x-forwarded-for"], expected);
    assert_eq!(echo["headers"]["x-forwarded-proto"][0], "https");
    let line = proxy.access_line("/").await;
    assert_eq!(line.field("client").as_deref(), Some("203.0.113.7"));
    let expected = serde_json::json!({ "tls.server-name": "a.example", "proxy.authority": "edge" });
    assert_eq!(line.json()["attributes"], expected);
    // Without the header there is no handshake.
    assert!(tls.connect(proxy.address()).await.is_err());
}
