//! Requests that ask for an upgrade and do not get a tunnel.

use bytes::Bytes;

use tokio::io::AsyncWriteExt;

use crate::harness::websocket::{ASKS, Tunnel, echo, field, read_head, switching};
use crate::harness::{ECHO, Origin, Proxy, refusing_address, route_to, route_to_peers, upstream};

#[tokio::test]
async fn an_origin_that_does_not_switch_answers_as_ever() {
    let origin = Origin::answering(|seen| {
        http::Response::builder()
            .status(426)
            .header("upgrade", "other")
            .header("x-asked", seen.header("upgrade"))
            .body(Bytes::from("no websockets here").into())
            .unwrap()
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send(format!("GET /ws HTTP/1.1\r\n{ASKS}\r\n")).await;
    let response = wire.response().await;
    assert_eq!(response.status, 426);
    assert_eq!(response.header("upgrade"), "other");
    assert_eq!(response.header("x-asked"), "websocket");
    assert_eq!(response.text(), "no websockets here");
    assert_eq!(
        proxy.access_line("/ws").await.field("status").unwrap(),
        "426"
    );
    assert_eq!(proxy.metric("tidegate_tunnels").await, 0.0);
}

#[tokio::test]
async fn a_response_without_a_known_length_is_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello world",
    ] {
        let origin = Origin::raw(move |mut stream| async move {
            read_head(&mut stream).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let proxy = Proxy::start(&route_to(&origin)).await;
        let mut wire = proxy.wire().await;
        wire.send(format!("GET /ws HTTP/1.1\r\n{ASKS}\r\n")).await;
        let response = wire.response().await;
        assert_eq!((response.status, response.text()), (200, "hello world"));
    }
}

/// Whoever reads the second request in what belongs to the tunnel would let it through unseen.
#[tokio::test]
async fn what_follows_a_refused_upgrade_is_not_a_request() {
    let origin = Origin::answering(|_| {
        let refused = http::Response::builder().status(403);
        refused.body(Bytes::from("no").into()).unwrap()
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let second = "GET /second HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut wire = proxy.wire().await;
    wire.send(format!("GET /ws HTTP/1.1\r\n{ASKS}\r\n{second}"))
        .await;
    assert_eq!(wire.response().await.status, 403);
    wire.send(second).await;
    assert!(wire.rest().await.is_empty());
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn a_request_with_a_body_is_an_ordinary_one() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    for framed in [
        "content-length: 5\r\n\r\nhello",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let mut wire = proxy.wire().await;
        wire.send(format!("POST /ws HTTP/1.1\r\n{ASKS}{framed}"))
            .await;
        let response = wire.response().await;
        assert_eq!((response.status, response.text()), (200, "hello"));
    }
    for seen in origin.seen() {
        assert_eq!(seen.header("upgrade"), "");
        assert_eq!(seen.header("connection"), "");
    }
}

#[tokio::test]
async fn an_upgrade_has_to_be_asked_for_in_both_fields() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    for fields in ["upgrade: websocket\r\n", "connection: upgrade\r\n"] {
        let mut wire = proxy.wire().await;
        wire.send(format!("GET /ws HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
            .await;
        assert_eq!(wire.response().await.status, 200);
    }
    let mut wire = proxy.wire().await;
    wire.send(format!("GET /ws HTTP/1.0\r\n{ASKS}\r\n")).await;
    assert_eq!(wire.response().await.status, 200);
    assert!(
        origin
            .seen()
            .iter()
            .all(|seen| seen.header("upgrade").is_empty())
    );
}

#[tokio::test]
async fn a_101_that_is_not_the_answer_is_a_502() {
    for (fields, asks) in [
        ("connection: upgrade\r\nupgrade: other\r\n", ASKS),
        ("connection: upgrade\r\n", ASKS),
        // Nobody asked.
        (
            "connection: upgrade\r\nupgrade: websocket\r\n",
            "host: a\r\n",
        ),
    ] {
        let origin = Origin::raw(move |mut stream| async move {
            read_head(&mut stream).await.unwrap();
            let answer = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nmine");
            let _ = stream.write_all(answer.as_bytes()).await;
            echo(stream).await;
        })
        .await;
        let proxy = Proxy::start(&route_to(&origin)).await;
        let tunnel = Tunnel::ask(proxy.address(), format!("GET /ws HTTP/1.1\r\n{asks}\r\n")).await;
        assert_eq!(tunnel.status(), "502", "{fields}");
        let line = proxy.access_line("/ws").await;
        assert_eq!(line.field("status").unwrap(), "502");
    }
}

#[tokio::test]
async fn no_origin_is_a_502_and_a_silent_one_a_504() {
    let proxy = Proxy::start(&route_to_peers(&format!("{:?}", refusing_address()))).await;
    assert_eq!(Tunnel::open(proxy.address()).await.status(), "502");
    let silent = Origin::raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let keys = format!(
        "peers = [{:?}]\ntimeout = {{ read = \"100ms\" }}",
        silent.address()
    );
    let proxy = Proxy::start(&upstream(&keys)).await;
    assert_eq!(Tunnel::open(proxy.address()).await.status(), "504");
    let line = proxy.access_line("/ws").await;
    assert_eq!(line.field("error").unwrap(), "upstream: ReadTimedout");
    let late = r#"tidegate_upstream_attempts_total{upstream="app",result="timeout"}"#;
    assert_eq!(proxy.metric(late).await, 1.0);
}

#[tokio::test]
async fn an_upstream_of_http_2_takes_none() {
    let origin = Origin::h2(|_| http::Response::new(Default::default())).await;
    let keys = format!("peers = [{:?}]\nprotocol = \"http2\"", origin.address());
    let proxy = Proxy::start(&upstream(&keys)).await;
    assert_eq!(Tunnel::open(proxy.address()).await.status(), "501");
    assert_eq!(proxy.get("/").await.status, 200);
}

#[tokio::test]
async fn a_field_that_the_connection_does_not_own_cannot_be_taken_away() {
    let origin = switching(|stream, _| echo(stream)).await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    for name in ["host", "X-Forwarded-For", "x-request-id"] {
        let fields = format!("host: a\r\nconnection: upgrade, {name}\r\nupgrade: websocket\r\n");
        let asked = format!("GET /ws HTTP/1.1\r\n{fields}\r\n");
        let tunnel = Tunnel::ask(proxy.address(), asked).await;
        assert_eq!(tunnel.status(), "400", "{name}");
    }
}

#[tokio::test]
async fn routes_without_an_upstream_answer_as_ever() {
    let proxy = Proxy::start(ECHO).await;
    let tunnel = Tunnel::open(proxy.address()).await;
    assert_eq!(tunnel.status(), "200");
    assert_eq!(field(&tunnel.head, "upgrade"), None);
}

#[tokio::test]
async fn connect_is_refused_and_written_down() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let asked = "CONNECT internal.example:443 HTTP/1.1\r\nhost: internal.example:443\r\n\r\n";
    assert_eq!(Tunnel::ask(proxy.address(), asked).await.status(), "405");
    let line = proxy
        .stdout_line(|line| line.field("status").as_deref() == Some("405"))
        .await;
    assert_eq!(line.field("method").unwrap(), "CONNECT");
    assert!(origin.seen().is_empty());
}
