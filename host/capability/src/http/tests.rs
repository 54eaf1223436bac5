//! Calls to real servers on loopback.

mod bounds;
mod streams;
mod trust;

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
