//! WebSockets over HTTP/2 (RFC 8441).

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::websocket::{echo, echoing, field, switching};
use crate::harness::{ECHO, Origin, Proxy, route_to, soon, until};

/// An HTTP/2 connection to the proxy that knows of extended CONNECT.
pub async fn connect(proxy: &Proxy) -> SendRequest<Bytes> {
    connect_on(TcpStream::connect(proxy.address()).await.unwrap()).await
}

/// As [`connect`], on a connection that is there.
pub async fn connect_on(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> SendRequest<Bytes> {
    let (sender, connection) = handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut sender = soon("the connection", sender.ready()).await.unwrap();
    until("the proxy's settings", async || {
        // Reading goes on beside; a request more does no harm.
        sender.is_extended_connect_protocol_enabled().then_some(())
    })
    .await;
    sender = sender.ready().await.unwrap();
    sender
}

/// An extended CONNECT for `/ws`.
pub fn asking(protocol: &'static str, fields: &[(&'static str, &str)]) -> Request<()> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://test.example/ws?x=1")
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// A stream that was answered.
pub struct Stream {
    pub status: StatusCode,
    headers: HeaderMap,
    sender: SendStream<Bytes>,
    body: RecvStream,
}

/// Asks, and waits for the head that answers.
pub async fn ask(client: &mut SendRequest<Bytes>, request: Request<()>) -> Stream {
    let end = request.method() != Method::CONNECT;
    let (response, sender) = client.send_request(request, end).unwrap();
    let response = soon("a response", response).await.unwrap();
    let (head, body) = response.into_parts();
    Stream {
        status: head.status,
        headers: head.headers,
        sender,
        body,
    }
}

impl Stream {
    pub fn send(&mut self, data: &'static str, end: bool) {
        self.sender
            .send_data(Bytes::from_static(data.as_bytes()), end)
            .unwrap();
    }

    /// The next so many bytes.
    pub async fn receive(&mut self, count: usize) -> Vec<u8> {
        soon(&format!("{count} bytes"), async {
            let mut all = Vec::new();
            while all.len() < count {
                let data = self.body.data().await.unwrap().unwrap();
                self.body
                    .flow_control()
                    .release_capacity(data.len())
                    .unwrap();
                all.extend_from_slice(&data);
            }
            all
        })
        .await
    }

    /// Whether the other side ends, and with what.
    async fn end(&mut self) -> Option<h2::Error> {
        let next = soon("the end", async {
            loop {
                match self.body.data().await {
                    Some(Ok(data)) if data.is_empty() => {}
                    other => return other,
                }
            }
        });
        next.await.map(Result::unwrap_err)
    }
}

#[tokio::test]
async fn bytes_go_both_ways_and_each_ends_for_itself() {
    let heads = Arc::new(Mutex::new(String::new()));
    let seen = heads.clone();
    let origin = switching(move |stream, head| {
        *seen.lock().unwrap() = head;
        echo(stream)
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = connect(&proxy).await;
    let fields = [
        ("sec-websocket-protocol", "chat"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("origin", "http://test.example"),
    ];
    let mut stream = ask(&mut client, asking("websocket", &fields)).await;
    assert_eq!(stream.status, 200);
    for name in ["upgrade", "connection", "sec-websocket-accept"] {
        assert!(!stream.headers.contains_key(name), "{name}");
    }
    stream.send("hello", false);
    assert_eq!(stream.receive(5).await, b"hello");
    stream.send("bye", true);
    assert_eq!(stream.receive(3).await, b"bye");
    assert!(stream.end().await.is_none());

    let head = heads.lock().unwrap().clone();
    assert!(head.starts_with("GET /ws?x=1 HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("host", "test.example"),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat"),
        ("cookie", "a=1; b=2"),
        ("origin", "http://test.example"),
    ] {
        assert_eq!(field(&head, name), Some(value), "{name} in {head}");
    }
    let line = proxy.access_line("/ws").await;
    for (name, value) in [("status", "200"), ("bytes", "8"), ("protocol", "HTTP/2")] {
        assert_eq!(line.field(name).as_deref(), Some(value), "{}", line.text);
    }
}

#[tokio::test]
async fn many_streams_share_a_connection_with_requests() {
    let origin = echoing().await;
    let other = Origin::echo().await;
    let config = format!(
        "{}\n[[route]]\nname = \"plain\"\nmatch = {{ path = \"/plain\" }}\nupstream = \"plain\"\n\n\
         [upstream.plain]\npeers = [{:?}]\n",
        route_to(&origin),
        other.address()
    );
    let proxy = Proxy::start(&config).await;
    let mut client = connect(&proxy).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(ask(&mut client, asking("websocket", &[])).await);
    }
    let plain = Request::get("http://test.example/plain").body(()).unwrap();
    assert_eq!(ask(&mut client, plain).await.status, 200);
    for stream in &mut streams {
        stream.send("hello", false);
    }
    for stream in &mut streams {
        assert_eq!(stream.receive(5).await, b"hello");
    }
}

/// More than all windows hold goes through, for each side reads what comes.
#[tokio::test]
async fn much_data_keeps_to_the_windows() {
    let origin = switching(|mut stream, _| async move {
        let chunk = vec![b'x'; 1 << 16];
        for _ in 0..128 {
            stream.write_all(&chunk).await.unwrap();
        }
        stream.shutdown().await.unwrap();
        let mut count = 0;
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            count += read;
        }
        assert_eq!(count, 5 << 20);
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = connect(&proxy).await;
    let mut stream = ask(&mut client, asking("websocket", &[])).await;
    assert_eq!(stream.receive(128 << 16).await.len(), 128 << 16);
    let data = Bytes::from(vec![b'y'; 5 << 20]);
    stream.sender.send_data(data, true).unwrap();
    assert!(stream.end().await.is_none());
    let received = r#"tidegate_tunnel_bytes_total{route="all",direction="received"}"#;
    proxy.metric_becomes(received, f64::from(5 << 20)).await;
    origin.is_left().await;
}

#[tokio::test]
async fn a_stream_outlives_the_timeouts_of_requests() {
    let origin = echoing().await;
    let limits = "idle_timeout = \"1s\"\nread_timeout = \"1s\"\nwrite_timeout = \"1s\"";
    let proxy = Proxy::start(&super::limited(&origin, limits)).await;
    let mut client = connect(&proxy).await;
    let mut stream = ask(&mut client, asking("websocket", &[])).await;
    // It is about time that passes.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    stream.send("hello", false);
    assert_eq!(stream.receive(5).await, b"hello");
}

#[tokio::test]
async fn what_breaks_breaks_the_other_side() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let origin = switching(move |mut stream, _| {
        let told = told.clone();
        async move {
            let first = stream.read_u8().await.unwrap();
            if first == b'!' {
                return stream.set_zero_linger().unwrap();
            }
            let broken = stream.read_u8().await.unwrap_err();
            told.send(broken.kind()).unwrap();
        }
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = connect(&proxy).await;
    let mut stream = ask(&mut client, asking("websocket", &[])).await;
    stream.send("!", false);
    let reset = stream.end().await.unwrap();
    assert_eq!(reset.reason(), Some(Reason::CANCEL));

    let mut stream = ask(&mut client, asking("websocket", &[])).await;
    stream.send("x", false);
    let received = r#"tidegate_tunnel_bytes_total{route="all",direction="received"}"#;
    proxy.metric_becomes(received, 2.0).await;
    stream.sender.send_reset(Reason::CANCEL);
    let kind = heard.recv().await.unwrap();
    assert_eq!(kind, std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn what_opens_no_tunnel_is_no_success() {
    let plain = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&plain)).await;
    let mut client = connect(&proxy).await;
    // The origin answers 200: to a client of HTTP/2 that would be an open tunnel.
    assert_eq!(ask(&mut client, asking("websocket", &[])).await.status, 502);
    // Other protocols are not carried, and CONNECT without one is not served.
    assert_eq!(ask(&mut client, asking("mine", &[])).await.status, 405);
    let mut connect_to = Request::new(());
    *connect_to.method_mut() = Method::CONNECT;
    *connect_to.uri_mut() = "test.example:443".parse().unwrap();
    assert_eq!(ask(&mut client, connect_to).await.status, 405);

    let origin = Origin::answering(|_| {
        let refused = http::Response::builder().status(403);
        refused.body(Bytes::from("no").into()).unwrap()
    })
    .await;
    proxy.reload(&route_to(&origin)).await;
    let mut stream = ask(&mut client, asking("websocket", &[])).await;
    assert_eq!(stream.status, 403);
    assert_eq!(stream.receive(2).await, b"no");

    proxy.reload(ECHO).await;
    assert_eq!(ask(&mut client, asking("websocket", &[])).await.status, 501);
}

/// Who makes up the answer to a key that it has not seen is not a WebSocket server.
#[tokio::test]
async fn the_origin_has_to_know_the_key() {
    let origin = Origin::raw(|mut stream| async move {
        crate::harness::websocket::read_head(&mut stream)
            .await
            .unwrap();
        let answer = "HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
        echo(stream).await;
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = connect(&proxy).await;
    assert_eq!(ask(&mut client, asking("websocket", &[])).await.status, 502);
}
