//! What HTTP/1.1 and HTTP/2 have beside heads and bodies, towards either side: trailers, interim responses,
//! old versions. `docs/protocols.md` says what passes; this is where it is seen.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{
    Body, Origin, Proxy, Seen, get, post, route_to, streamed, upstream, with_header,
};

/// Answers each request on a connection with these bytes.
async fn saying(answer: &'static str) -> Origin {
    Origin::raw(move |mut stream: TcpStream| async move {
        let mut head = [0; 4096];
        while matches!(stream.read(&mut head).await, Ok(1..)) {
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

async fn http2(
    answer: impl Fn(Seen) -> http::Response<Body> + Send + Sync + 'static,
) -> (Origin, Proxy) {
    let origin = Origin::h2(answer).await;
    let keys = format!("peers = [{:?}]\nprotocol = \"http2\"", origin.address());
    let proxy = Proxy::start(&upstream(&keys)).await;
    (origin, proxy)
}

/// Gives the body back, and a trailer.
fn with_trailer(seen: Seen) -> http::Response<Body> {
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
    let sent = std::future::ready(Some(Ok(trailers)));
    http::Response::new(Full::new(seen.body).with_trailers(sent).boxed())
}

#[tokio::test]
async fn trailers_of_http_2_reach_clients_of_http_2() {
    let (_origin, proxy) = http2(with_trailer).await;
    let response = proxy.h2_client().await.send(post("/", "hello")).await;
    assert_eq!(response.text(), "hello");
    assert_eq!(response.trailers["x-sum"], "42");
}

/// A body that does not say how long it is.
fn unannounced(data: Bytes) -> Body {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move { sender.send_data(data).await });
    body.boxed()
}

/// More than sockets hold, so that writes are cut at any place.
#[tokio::test]
async fn large_bodies_without_a_length_arrive_whole() {
    let numbers = (0_u32..3 << 20).flat_map(u32::to_be_bytes);
    let body: Bytes = numbers.collect::<Vec<_>>().into();
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n", body.len());
    let parts: [&[u8]; 4] = [head.as_bytes(), chunk.as_bytes(), &body, b"\r\n0\r\n\r\n"];
    let sent = Bytes::from(parts.concat());
    let origin = Origin::raw(move |mut stream: TcpStream| {
        let sent = sent.clone();
        async move {
            let mut head = [0; 4096];
            while matches!(stream.read(&mut head).await, Ok(1..)) {
                let _ = stream.write_all(&sent).await;
            }
        }
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    for mut client in [proxy.client().await, proxy.h2_client().await] {
        let response = client.get("/").await;
        assert!(!response.headers.contains_key("content-length"));
        assert!(response.body == body, "{} bytes", response.body.len());
    }
}

#[tokio::test]
async fn clients_of_http_1_0_get_no_chunks_from_http_2() {
    let without_length = |seen: Seen| http::Response::new(unannounced(seen.body));
    let (_origin, proxy) = http2(without_length).await;
    let mut wire = proxy.wire().await;
    wire.send(
        "POST / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello",
    )
    .await;
    let response = wire.response().await;
    assert_eq!(response.text(), "hello");
    assert_eq!(response.header("connection"), "close");
    assert!(
        !response.headers.contains_key("transfer-encoding"),
        "{response:?}"
    );
}

#[tokio::test]
async fn clients_of_http_1_get_the_body_without_the_trailers() {
    let (_origin, proxy) = http2(with_trailer).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        let response = client.send(post("/", "hello")).await;
        assert_eq!(response.text(), "hello");
        assert!(response.trailers.is_empty());
    }
}

#[tokio::test]
async fn trailers_of_http_1_end_at_the_proxy() {
    let origin = saying(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n",
    )
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let (mut h1, mut h2) = (proxy.client().await, proxy.h2_client().await);
    for _ in 0..2 {
        let response = h1.get("/").await;
        assert_eq!((response.text(), response.header("x-sum")), ("hello", ""));
        let response = h2.get("/").await;
        assert_eq!((response.text(), response.trailers.len()), ("hello", 0));
    }
}

#[tokio::test]
async fn http_1_clients_reach_http_2_upstreams() {
    let (origin, proxy) = http2(|seen| http::Response::new(Full::new(seen.body).boxed())).await;
    let mut client = proxy.client().await;
    let large = Bytes::from(vec![b'x'; 1 << 20]);
    assert!(client.send(post("/known", large.clone())).await.body == large);
    let chunks = vec![large.slice(..500_000), large.slice(500_000..)];
    assert!(client.send(streamed("/chunks", chunks)).await.body == large);
    let request = with_header(get("/x?y"), "host", "www.example.com");
    assert_eq!(client.send(request).await.status, 200);
    let seen = origin.seen();
    let (target, version) = (&seen[2].target, seen[2].version);
    assert_eq!(target, "http://www.example.com/x?y", "as :authority has it");
    assert_eq!(version, http::Version::HTTP_2);
    for seen in &seen {
        for field in ["connection", "transfer-encoding", "keep-alive", "host"] {
            assert_eq!(seen.header(field), "", "{field}");
        }
    }
}

#[tokio::test]
async fn many_requests_share_a_connection_to_an_http_2_upstream() {
    let (origin, proxy) = http2(|seen| http::Response::new(Full::new(seen.body).boxed())).await;
    let mut client = proxy.h2_client().await;
    for number in 0..20 {
        let response = client.send(post("/", number.to_string())).await;
        assert_eq!(response.text(), number.to_string());
    }
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn early_hints_reach_clients_of_http_1_before_the_response() {
    let origin = saying(
        "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nlink: </more.css>; rel=preload\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    for _ in 0..2 {
        wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        for link in ["</style.css>; rel=preload", "</more.css>; rel=preload"] {
            let hint = wire.response().await;
            assert_eq!((hint.status, hint.header("link")), (103, link));
        }
        let response = wire.response().await;
        assert_eq!((response.status, response.text()), (200, "ok"));
    }
    // HTTP/2 clients get the response alone.
    let response = proxy.h2_client().await.get("/").await;
    assert_eq!((response.status, response.text()), (200, "ok"));
    assert_eq!(response.header("link"), "");
}

#[tokio::test]
async fn clients_of_http_1_0_get_no_interim_responses_and_no_chunks() {
    let origin = saying(
        "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n\
         HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let answer = proxy.raw("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    let answer = String::from_utf8(answer.to_vec()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        !head.to_ascii_lowercase().contains("transfer-encoding"),
        "{answer}"
    );
    assert_eq!(body, "hello", "it ends with the connection");
}

#[tokio::test]
async fn http_1_0_needs_no_host_and_closes() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let answer = proxy
        .raw("POST /x HTTP/1.0\r\ncontent-length: 5\r\n\r\nhello")
        .await;
    let answer = String::from_utf8(answer.to_vec()).unwrap();
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    let seen = &origin.seen()[0];
    assert_eq!(
        (&*seen.target, seen.version),
        ("/x", http::Version::HTTP_11)
    );
    assert_eq!(seen.headers["host"], "");
}

#[tokio::test]
async fn http_0_9_is_refused() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let answer = proxy.raw("GET /\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn http_1_0_upstreams_end_bodies_with_the_connection() {
    let origin = Origin::raw(|mut stream: TcpStream| async move {
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello").await;
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.client().await;
    for _ in 0..2 {
        let response = client.get("/").await;
        assert_eq!(
            (response.status, response.text()),
            (StatusCode::OK.as_u16(), "hello")
        );
    }
}

/// The head of an upload alone, and then a piece that had come with it, would be two packets more.
#[tokio::test]
async fn what_has_come_of_a_body_goes_with_the_head() {
    let (first, mut read) = tokio::sync::mpsc::channel(1);
    let origin = Origin::raw(move |mut stream: TcpStream| {
        let first = first.clone();
        async move {
            let mut came = vec![0; 256 * 1024];
            let mut count = stream.read(&mut came).await.unwrap_or_default();
            let _ = first.send(came[..count].to_vec()).await;
            let head = came.windows(4).position(|end| end == b"\r\n\r\n");
            while count < head.unwrap_or_default() + 4 + 100_000 {
                match stream.read(&mut came).await {
                    Ok(more @ 1..) => count += more,
                    _ => return,
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let proxy = Proxy::start(&upstream(&format!("peers = [{:?}]", origin.address()))).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let mut request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n".to_vec();
    request.extend(vec![b'x'; 100_000]);
    client.write_all(&request).await.unwrap();
    let first = read.recv().await.unwrap();
    let head = first.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    // Room for what is read with a request's head is less than this.
    assert!(first.len() - head > 2048, "{} bytes", first.len() - head);
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 204");
}
