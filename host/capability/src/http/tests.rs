//! Calls to real servers on loopback.

use super::testing::{Authority, Reply, Server, reply};
use super::*;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;

const SOON: Duration = Duration::from_millis(100);
const MIB: usize = 1 << 20;

fn transport() -> Transport {
    Transport::new(Settings::default())
}

/// A client that may call the server.
fn granted(server: &Server) -> Client {
    granted_url(&format!("http://{}", server.address))
}

fn granted_url(origin: &str) -> Client {
    transport().client(vec![Grant::parse(origin, true).unwrap()], 8)
}

fn get(url: &str) -> RequestHead {
    RequestHead::new("GET", url, []).unwrap()
}

fn post(url: &str) -> RequestHead {
    RequestHead::new("POST", url, []).unwrap()
}

async fn send(client: &Client, head: RequestHead) -> Result<super::Response, Failure> {
    let timeouts = Timeouts::default();
    client.send(head, Bytes::new(), MIB, timeouts).await
}

/// Method, target, host and body, as the server saw them.
async fn mirror(request: Request<Incoming>) -> Reply {
    let host = request.headers().get("host").cloned();
    let seen = format!("{} {} {host:?} ", request.method(), request.uri());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    reply(200, [seen.as_bytes(), &body].concat())
}

#[tokio::test]
async fn a_call_is_answered() {
    let server = Server::start(mirror).await;
    let client = granted(&server);
    let head = post(&server.url("/a/b?c=d"));
    let body = Bytes::from("hello");
    let response = client
        .send(head, body, MIB, Timeouts::default())
        .await
        .unwrap();
    assert_eq!(response.head.status, StatusCode::OK);
    let seen = format!("POST /a/b?c=d Some(\"{}\") hello", server.address);
    assert_eq!(response.body, seen.as_bytes());
}

#[tokio::test]
async fn both_bodies_can_be_streamed() {
    let server = Server::start(mirror).await;
    let mut call = granted(&server)
        .start(post(&server.url("/")), Timeouts::default())
        .unwrap();
    call.write("one ".into()).await.unwrap();
    call.write(Bytes::new()).await.unwrap();
    call.write("two".into()).await.unwrap();
    assert_eq!(call.read().await, Err(Failure::Closed), "not finished yet");
    let head = call.finish().await.unwrap();
    assert_eq!(head.status, StatusCode::OK);
    let body = call.read_to_end(MIB).await.unwrap();
    assert!(body.ends_with(b"one two"), "{body:?}");
    assert_eq!(call.read().await, Ok(None));
    assert_eq!(call.finish().await, Err(Failure::Closed));
    assert!(call.write("x".into()).await.is_err());
}

#[tokio::test]
async fn what_is_not_granted_is_not_called() {
    let server = Server::start(mirror).await;
    let client = granted(&server);
    let port = server.address.port();
    for url in [
        "http://127.0.0.1/".into(),
        format!("http://127.0.0.2:{port}/"),
        format!("http://localhost:{port}/"),
        format!("https://127.0.0.1:{port}/"),
    ] {
        let failure = send(&client, get(&url)).await.unwrap_err();
        assert!(matches!(failure, Failure::Forbidden(_)), "{url}: {failure}");
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_name_of_this_machine_needs_a_private_grant() {
    let server = Server::start(mirror).await;
    let origin = format!("http://localhost:{}", server.address.port());
    let transport = transport();
    let client = |private| transport.client(vec![Grant::parse(&origin, private).unwrap()], 8);
    let url = format!("{origin}/secret?token=x");
    // Its connection stays idle, and must not serve the other.
    let private = client(true);
    send(&private, get(&url)).await.unwrap();
    let failure = send(&client(false), get(&url)).await.unwrap_err();
    assert!(matches!(failure, Failure::Forbidden(_)), "{failure}");
    let message = failure.to_string();
    assert!(
        message.contains(&origin) && !message.contains("secret"),
        "{message}"
    );
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_redirect_is_returned() {
    let server = Server::start(|_| async {
        let mut redirect = reply(302, "");
        let location = "http://169.254.169.254/".parse().unwrap();
        redirect.headers_mut().insert("location", location);
        redirect
    })
    .await;
    let response = send(&granted(&server), get(&server.url("/")))
        .await
        .unwrap();
    assert_eq!(response.head.status, StatusCode::FOUND);
    assert_eq!(response.head.headers["location"], "http://169.254.169.254/");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(mirror).await;
    let client = granted(&server);
    for _ in 0..20 {
        send(&client, get(&server.url("/"))).await.unwrap();
    }
    // The engine may see a connection as idle a moment late.
    assert!(server.accepted() <= 10, "{}", server.accepted());
}

#[tokio::test]
async fn connections_end_with_the_grants() {
    let mut server = Server::start(mirror).await;
    let client = granted(&server);
    send(&client, get(&server.url("/"))).await.unwrap();
    drop(client);
    server.is_left().await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_times_out() {
    let mut server = Server::start(|_| std::future::pending()).await;
    let timeouts = Timeouts {
        response: SOON,
        ..Timeouts::default()
    };
    let client = granted(&server);
    let mut call = client.start(get(&server.url("/")), timeouts).unwrap();
    assert!(matches!(call.finish().await, Err(Failure::Timeout(..))));
    let sent = client.send(get(&server.url("/")), Bytes::new(), MIB, timeouts);
    assert!(matches!(sent.await, Err(Failure::Timeout(..))));
    server.is_left().await;
}

#[tokio::test]
async fn a_body_that_stops_times_out() {
    let server = Server::start(|_| async {
        let (mut sender, body) = Channel::new(1);
        tokio::spawn(async move {
            sender.send_data(Bytes::from("beginning")).await.unwrap();
            std::future::pending::<()>().await;
        });
        Response::new(body.boxed())
    })
    .await;
    let timeouts = Timeouts {
        idle: SOON,
        ..Timeouts::default()
    };
    let mut call = granted(&server)
        .start(get(&server.url("/")), timeouts)
        .unwrap();
    call.finish().await.unwrap();
    assert_eq!(call.read().await, Ok(Some("beginning".into())));
    assert!(matches!(call.read().await, Err(Failure::Timeout(..))));
    assert_eq!(call.read().await, Err(Failure::Closed), "it has no end");
}

#[tokio::test]
async fn a_handshake_that_stops_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("https://{}", listener.local_addr().unwrap());
    let settings = Settings {
        connect_timeout: SOON,
        ..Settings::default()
    };
    let client = Transport::new(settings).client(vec![Grant::parse(&origin, true).unwrap()], 1);
    let failure = send(&client, get(&origin)).await.unwrap_err();
    assert_eq!(failure, Failure::Timeout(origin, "connection"));
}

#[tokio::test]
async fn where_nobody_listens_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = send(&granted_url(&origin), get(&origin)).await.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(..)), "{failure}");
    let origin = "http://no-such-name.invalid";
    let failure = send(&granted_url(origin), get(origin)).await.unwrap_err();
    assert!(matches!(failure, Failure::Unresolved(_)), "{failure}");
}

#[tokio::test]
async fn calls_and_connections_are_bounded() {
    let server = Server::start(|_| std::future::pending()).await;
    let origin = format!("http://{}", server.address);
    let settings = Settings {
        connections: 1,
        ..Settings::default()
    };
    let transport = Transport::new(settings);
    let client = || transport.client(vec![Grant::parse(&origin, true).unwrap()], 1);
    let (one, other) = (client(), client());
    let url = server.url("/");
    let held = one.start(get(&url), Timeouts::default()).unwrap();
    assert!(matches!(
        send(&one, get(&url)).await,
        Err(Failure::LimitReached(_))
    ));
    drop(held);
    let _held = one.start(get(&url), Timeouts::default()).unwrap();
    while server.accepted() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        send(&other, get(&url)).await,
        Err(Failure::LimitReached("connections"))
    );
}

#[tokio::test]
async fn large_responses_are_refused() {
    let server = Server::start(|request| async move {
        match request.uri().path() {
            "/known" => reply(200, vec![b'x'; MIB + 1]),
            "/unknown" => {
                let (mut sender, body) = Channel::new(1);
                tokio::spawn(async move {
                    while sender.send_data(vec![b'x'; 1000].into()).await.is_ok() {}
                });
                Response::new(body.boxed())
            }
            "/head" => {
                let mut response = reply(200, "");
                let value = "x".repeat(100 << 10).parse().unwrap();
                response.headers_mut().insert("x-large", value);
                response
            }
            _ => reply(200, vec![b'x'; MIB]),
        }
    })
    .await;
    let client = granted(&server);
    for path in ["/known", "/unknown", "/head"] {
        let sent = send(&client, get(&server.url(path))).await;
        assert!(matches!(sent, Err(Failure::TooLarge(_))), "{path}");
    }
    let fitting = send(&client, get(&server.url("/"))).await.unwrap();
    assert_eq!(fitting.body.len(), MIB);
}

/// 64 MiB come in, and between server and reader there is never much more than the socket's buffers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_response_is_streamed() {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = made.clone();
    let server = Server::start(move |_| {
        let counter = counter.clone();
        async move {
            let (mut sender, body) = Channel::new(1);
            tokio::spawn(async move {
                for _ in 0..1024 {
                    let sent = sender.send_data(vec![b'x'; 64 << 10].into()).await;
                    if sent.is_err() {
                        return;
                    }
                    counter.fetch_add(64 << 10, Ordering::Relaxed);
                }
            });
            Response::new(body.boxed())
        }
    })
    .await;
    let client = granted(&server);
    let mut call = client
        .start(get(&server.url("/")), Timeouts::default())
        .unwrap();
    call.finish().await.unwrap();
    let mut read = 0;
    while let Some(data) = call.read().await.unwrap() {
        read += data.len();
        assert!(made.load(Ordering::Relaxed) <= read + 16 * MIB);
    }
    assert_eq!(read, 64 * MIB);
}

/// A server that does not read stops the writer; then 64 MiB go through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_is_streamed() {
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let server = Server::start(move |request| {
        let gate = opened.clone();
        async move {
            gate.notified().await;
            let mut body = request.into_body();
            let mut read = 0;
            while let Some(frame) = body.frame().await {
                read += frame.unwrap().data_ref().map_or(0, Bytes::len);
            }
            reply(200, read.to_string())
        }
    })
    .await;
    let client = granted(&server);
    let mut call = client
        .start(post(&server.url("/")), Timeouts::default())
        .unwrap();
    let piece = Bytes::from(vec![b'x'; 64 << 10]);
    let mut written = 0;
    while let Ok(wrote) = timeout(SOON, call.write(piece.clone())).await {
        wrote.unwrap();
        written += piece.len();
        assert!(
            written <= 16 * MIB,
            "somebody holds what the server does not read"
        );
    }
    gate.notify_one();
    while written < 64 * MIB {
        call.write(piece.clone()).await.unwrap();
        written += piece.len();
    }
    call.finish().await.unwrap();
    assert_eq!(call.read_to_end(MIB).await.unwrap(), written.to_string());
}

#[tokio::test]
async fn a_cancelled_call_closes_its_connection() {
    let (ended, mut end) = tokio::sync::mpsc::channel(1);
    let mut server = Server::start(move |request| {
        let ended = ended.clone();
        async move {
            let whole = request.into_body().collect().await;
            ended.send(whole.is_ok()).await.unwrap();
            reply(200, "")
        }
    })
    .await;
    let client = granted(&server);
    let mut call = client
        .start(post(&server.url("/")), Timeouts::default())
        .unwrap();
    call.write("half of it".into()).await.unwrap();
    while server.accepted() == 0 {
        tokio::task::yield_now().await;
    }
    drop(call);
    assert_eq!(
        end.recv().await,
        Some(false),
        "the server took a half for the whole"
    );
    server.is_left().await;
}

#[tokio::test]
async fn a_cancelled_response_closes_its_connection() {
    let mut server = Server::start(|_| async {
        let (mut sender, body) = Channel::new(1);
        tokio::spawn(async move { while sender.send_data("x".into()).await.is_ok() {} });
        Response::new(body.boxed())
    })
    .await;
    let client = granted(&server);
    let mut call = client
        .start(get(&server.url("/")), Timeouts::default())
        .unwrap();
    call.finish().await.unwrap();
    call.read().await.unwrap();
    drop(call);
    server.is_left().await;
}

/// Answers the first connection with these bytes, and closes it.
async fn raw(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(tcp.read(&mut request).await.unwrap() > 0);
        tcp.write_all(answer).await.unwrap();
    });
    origin
}

#[tokio::test]
async fn broken_responses_are_no_responses() {
    let cut = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let failure = send(&granted_url(&cut), get(&cut)).await.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(..)), "{failure}");
    let chunked = raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    let failure = send(&granted_url(&chunked), get(&chunked))
        .await
        .unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(..)), "{failure}");
    let empty = raw(b"").await;
    let failure = send(&granted_url(&empty), get(&empty)).await.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(..)), "{failure}");
    let foreign = raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    let failure = send(&granted_url(&foreign), get(&foreign))
        .await
        .unwrap_err();
    assert!(matches!(failure, Failure::Protocol(..)), "{failure}");
    let switched = raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n").await;
    let failure = send(&granted_url(&switched), get(&switched))
        .await
        .unwrap_err();
    assert!(matches!(failure, Failure::Protocol(..)), "{failure}");
}

#[tokio::test]
async fn an_early_answer_is_not_lost() {
    let origin =
        raw(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let origin = origin.await;
    let client = granted_url(&origin);
    let mut call = client.start(post(&origin), Timeouts::default()).unwrap();
    let mut wrote = Ok(());
    while wrote.is_ok() {
        wrote = call.write("x".into()).await;
    }
    assert_eq!(wrote, Err(Failure::Closed));
    assert_eq!(
        call.finish().await.unwrap().status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

/// What the server says of the protocol.
async fn version(request: Request<Incoming>) -> Reply {
    let h2 = request.version() == Version::HTTP_2;
    reply(200, if h2 { "h2" } else { "h1" })
}

#[tokio::test]
async fn tls_needs_the_right_authority() {
    let right = Authority::new(&[b"h2", b"http/1.1"]);
    let wrong = Authority::new(&[]);
    let server = Server::start_tls(&right, version).await;
    let origin = format!("https://{}", server.address);
    let transport = transport();
    let grant = Grant::parse(&origin, true).unwrap();
    let client = |grant: Grant| transport.client(vec![grant], 8);
    let trusting = client(grant.clone().with_ca(right.pem.as_bytes()).unwrap());
    assert_eq!(send(&trusting, get(&origin)).await.unwrap().body, "h2");
    // The first one's connection is open all the time, and must not serve the others.
    for distrusting in [
        client(grant.clone()),
        client(grant.with_ca(wrong.pem.as_bytes()).unwrap()),
    ] {
        let failure = send(&distrusting, get(&origin)).await.unwrap_err();
        assert!(matches!(failure, Failure::Tls(..)), "{failure}");
    }
    assert_eq!(send(&trusting, get(&origin)).await.unwrap().body, "h2");
}

#[tokio::test]
async fn without_h2_it_is_http_1() {
    for protocols in [&[] as &[&[u8]], &[b"http/1.1"]] {
        let authority = Authority::new(protocols);
        let server = Server::start_tls(&authority, version).await;
        let origin = format!("https://{}", server.address);
        let grant = Grant::parse(&origin, true).unwrap();
        let grant = grant.with_ca(authority.pem.as_bytes()).unwrap();
        let client = transport().client(vec![grant], 8);
        assert_eq!(send(&client, get(&origin)).await.unwrap().body, "h1");
    }
}

#[tokio::test]
async fn a_head_has_no_body() {
    let server = Server::start(|_| async { Response::new(Empty::new().boxed()) }).await;
    let head = RequestHead::new("HEAD", &server.url("/"), []).unwrap();
    let mut call = granted(&server).start(head, Timeouts::default()).unwrap();
    assert!(matches!(
        call.write("x".into()).await,
        Err(Failure::InvalidRequest(_))
    ));
    assert_eq!(call.finish().await.unwrap().status, StatusCode::OK);
    assert_eq!(call.read().await, Ok(None));
}
