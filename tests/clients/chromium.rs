//! Chromium without a window, the witness for browsers: what a page does with its origin (requests, streams both
//! ways, a WebSocket), in both protocols, and what a browser makes of a redirect to https and of HSTS. Pages report
//! to their origin, so that nothing here depends on how long a browser takes.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full};
use rcgen::{KeyPair, PublicKeyData};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::proxy;
use crate::harness::{Authority, Body, Origin, Proxy, Seen, route_to, tool, until};
use crate::tunnel::websocket::Server;

const PAGE: &str = include_str!("chromium.html");

/// What was asked for, of an origin in HTTP/2, which sees whole URIs.
fn path(seen: &Seen) -> &str {
    let (_, path) = seen.target.split_once("app.example").unwrap();
    path
}

/// A browser, which is ended when it is dropped. If a test fails, what it complained about is shown.
struct Browser {
    child: Child,
    /// Its profile, and `errors`.
    folder: TempDir,
}

impl Browser {
    /// Opens a page. `app.example` is at these addresses, for each of the ports, and trusted with the proxy's key.
    fn open(program: &PathBuf, proxy: &Proxy, places: &[(u16, &str)], url: &str) -> Browser {
        let folder = TempDir::new().unwrap();
        let maps = places
            .iter()
            .map(|(port, address)| format!("MAP app.example:{port} {address}"));
        let maps: Vec<String> = maps.collect();
        let child = Command::new(program)
            .args(["--headless", "--disable-gpu", "--no-first-run"])
            // It refuses to run as root otherwise.
            .arg("--no-sandbox")
            // Nothing of its own, to nobody else.
            .args(["--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-quic"])
            // It is to be sent to https by the proxy.
            .arg("--disable-features=HttpsUpgrades")
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg(format!("--host-resolver-rules={}", maps.join(",")))
            .arg(format!(
                "--ignore-certificate-errors-spki-list={}",
                key_hash(proxy)
            ))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("errors")).unwrap())
            .spawn()
            .unwrap();
        Browser { child, folder }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let errors = fs::read_to_string(self.folder.path().join("errors"));
            eprintln!(
                "--- what Chromium wrote ---\n{}---",
                errors.unwrap_or_default()
            );
        }
    }
}

/// What Chromium knows a key by: the SHA-256 of a certificate's SubjectPublicKeyInfo.
fn key_hash(proxy: &Proxy) -> String {
    let key = fs::read_to_string(proxy.folder().join("own.key")).unwrap();
    let info = KeyPair::from_pem(&key).unwrap().subject_public_key_info();
    BASE64_STANDARD.encode(digest(&SHA256, &info))
}

/// What a page has reported to its origin.
async fn report(origin: &Origin) -> Bytes {
    until("the report of a page", async || {
        let seen = origin.seen();
        let report = seen.iter().find(|seen| path(seen) == "/report")?;
        Some(report.body.clone())
    })
    .await
}

fn answer(body: impl Into<Bytes>) -> http::Response<Body> {
    http::Response::new(Full::new(body.into()).boxed())
}

fn html(page: &'static str) -> http::Response<Body> {
    let mut response = answer(page);
    let kind = http::HeaderValue::from_static("text/html");
    response.headers_mut().insert("content-type", kind);
    response
}

/// Serves the page and what it asks for: `/stream` is a body of which the second piece follows upon `/more`.
async fn site() -> Origin {
    let more = Arc::new(Semaphore::new(0));
    Origin::h2(move |seen: Seen| match path(&seen) {
        "/" => html(PAGE),
        "/stream" => {
            let (mut sender, body) = Channel::new(1);
            let more = more.clone();
            tokio::spawn(async move {
                let _ = sender.send_data(Bytes::from("first")).await;
                more.acquire().await.unwrap().forget();
                let _ = sender.send_data(Bytes::from("second")).await;
            });
            http::Response::new(body.boxed())
        }
        "/more" => {
            more.add_permits(1);
            answer("")
        }
        _ => answer(seen.body),
    })
    .await
}

/// What the page reports where the listener has these keys, and the protocol and the status that the access log
/// has for its WebSocket; `None` where there is no browser.
async fn visit(keys: &str) -> Option<(Value, [String; 2])> {
    let program = tool("chromium")?;
    let sockets = Server::start()?;
    let origin = site().await;
    let rest = format!(
        "
[limits]
tunnel_close_timeout = \"100ms\"
[[route]]
name = \"socket\"
match = {{ path = \"/socket\" }}
upstream = \"sockets\"
[upstream.sockets]
peers = [{:?}]
{}
protocol = \"http2\"
",
        sockets.address(),
        route_to(&origin)
    );
    let proxy = proxy(&Authority::new(), keys, &rest).await;
    let places = [(443, proxy.address())];
    let _browser = Browser::open(&program, &proxy, &places, "https://app.example/");
    let report = serde_json::from_slice(&report(&origin).await).unwrap();
    let line = proxy.access_line("/socket").await;
    // It has ended, though in HTTP/2 Chromium does not say so.
    proxy.metric_becomes("tidegate_tunnels", 0.0).await;
    assert_eq!(line.field("error"), None, "{}", line.text);
    let fields = ["protocol", "status"].map(|name| line.field(name).unwrap());
    Some((report, fields))
}

/// What the page has seen of its WebSocket.
fn socket() -> Value {
    json!({
        "protocol": "chat",
        "messages": ["hello", "hello!", "hello!!"],
        "code": 4000,
        "reason": "enough",
        "wasClean": true,
    })
}

#[tokio::test]
async fn a_page_works_in_http_2() {
    let Some((report, socket_line)) = visit("").await else {
        return;
    };
    let expected = json!({
        "page": "h2",
        "get": "200 ",
        "post": "200 a body",
        "streamed": ["first", "second"],
        "upload": "200 one, two, three",
        "webSocket": socket(),
        "protocols": ["h2"],
    });
    assert_eq!(report, expected);
    // RFC 8441: a stream of the connection that was there already.
    assert_eq!(socket_line, ["HTTP/2", "200"]);
}

#[tokio::test]
async fn a_page_works_in_http_1() {
    let Some((report, socket_line)) = visit("tls.alpn = [\"http/1.1\"]").await else {
        return;
    };
    let expected = json!({
        "page": "http/1.1",
        "get": "200 ",
        "post": "200 a body",
        "streamed": ["first", "second"],
        "webSocket": socket(),
        "protocols": ["http/1.1"],
    });
    assert_eq!(report, expected);
    assert_eq!(socket_line, ["HTTP/1.1", "101"]);
}

/// RFC 6797: after the first visit the browser does not ask without TLS any more, whatever links say.
#[tokio::test]
async fn a_browser_is_sent_to_https_once() {
    let Some(program) = tool("chromium") else {
        return;
    };
    let origin = Origin::h2(|seen: Seen| match path(&seen) {
        "/" => html("<script>location = 'http://app.example/again'</script>"),
        "/again" => html("<script>fetch('/report', { method: 'POST', body: location })</script>"),
        _ => answer(""),
    })
    .await;
    let rest = format!(
        "
[[listener]]
name = \"plain\"
address = \"127.0.0.1:0\"
https_redirect = true
{}
protocol = \"http2\"
",
        route_to(&origin)
    );
    let proxy = proxy(&Authority::new(), "hsts = \"1d\"", &rest).await;
    let plain = proxy.listener("plain").await;
    let places = [(80, &*plain), (443, proxy.address())];
    let _browser = Browser::open(&program, &proxy, &places, "http://app.example/");
    assert_eq!(report(&origin).await, "https://app.example/again");
    let by_tls = proxy.access_line("/again").await;
    assert_eq!(by_tls.field("listener").as_deref(), Some("web"));
    let written = proxy.written();
    let requests = written.lines().filter(|line| line.contains("\"method\""));
    let by_plain = requests.filter(|line| line.contains("\"listener\":\"plain\""));
    assert_eq!(by_plain.count(), 1, "{written}");
}
