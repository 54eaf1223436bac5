//! Connections are reused, on both sides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Origin, Proxy, post, route_to, upstream};

#[tokio::test]
async fn one_client_connection_carries_many_requests() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(client.send(post("/", "x")).await.text(), "x");
    }
    proxy
        .metric_becomes(r#"tidegate_connections_total{listener="web"}"#, 1.0)
        .await;
    assert_eq!(origin.accepted(), 1, "the upstream connection is kept too");
}

#[tokio::test]
async fn clients_share_upstream_connections() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    for _ in 0..20 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
    // A client may ask again just before the connection of its last request is free.
    assert!(origin.accepted() < 5, "{}", origin.accepted());
}

#[tokio::test]
async fn no_idle_connections_are_kept_when_none_may_be() {
    let origin = Origin::echo().await;
    let keys = format!("peers = [{:?}]\nkeepalive = 0", origin.address());
    let proxy = Proxy::start(&upstream(&keys)).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert_eq!(origin.accepted(), 3);
    origin.is_left().await;
}

#[tokio::test]
async fn an_idle_upstream_connection_is_closed_in_time() {
    let origin = Origin::echo().await;
    let keys = format!(
        "peers = [{:?}]\ntimeout = {{ idle = \"200ms\" }}",
        origin.address()
    );
    let proxy = Proxy::start(&upstream(&keys)).await;
    assert_eq!(proxy.get("/").await.status, 200);
    origin.is_left().await;
    assert_eq!(proxy.get("/").await.status, 200);
}

#[tokio::test]
async fn an_origin_that_closes_gets_a_new_connection() {
    let origin = Origin::answering(|_| {
        let answer = http::Response::builder().header("connection", "close");
        answer.body(Full::from("bye")).unwrap()
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        let response = client.get("/").await;
        assert_eq!(response.text(), "bye");
        assert_ne!(
            response.header("connection"),
            "close",
            "the client's goes on"
        );
    }
    assert_eq!(origin.accepted(), 3);
}

#[tokio::test]
async fn connection_close_is_honoured() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    for head in [
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: a\r\n\r\n",
    ] {
        let mut wire = proxy.wire().await;
        wire.send(head).await;
        assert_eq!(wire.response().await.status, 200);
        assert!(wire.rest().await.is_empty(), "{head}");
    }
}

#[tokio::test]
async fn a_reload_leaves_upstream_connections_open() {
    let origin = Origin::echo().await;
    let config = route_to(&origin);
    let proxy = Proxy::start(&config).await;
    let mut client = proxy.client().await;
    assert_eq!(client.get("/").await.status, 200);
    proxy.reload(&config.replace("all", "others")).await;
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_may_be() {
    let (origin, gate) = Origin::held().await;
    let keys = format!("peers = [{:?}]\nkeepalive = 1", origin.address());
    let proxy = Proxy::start(&upstream(&keys)).await;
    let all = async { tokio::join!(proxy.get("/"), proxy.get("/"), proxy.get("/")) };
    let open = async {
        origin.has_accepted(3).await;
        gate.add_permits(3);
    };
    let ((one, two, three), ()) = tokio::join!(all, open);
    assert!(
        [one, two, three]
            .iter()
            .all(|response| response.status == 200)
    );
    origin.has_open(1).await;
    gate.add_permits(1);
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(origin.accepted(), 3, "the one that was kept is used");
}

#[tokio::test]
async fn what_a_peer_sends_unasked_ends_its_connection() {
    let origin = Origin::raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let _ = stream.write_all(answer.as_bytes()).await;
        // As a peer does before it gives up an idle connection.
        let _ = stream
            .write_all(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
            .await;
        // Until the proxy leaves.
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.client().await;
    for _ in 0..5 {
        let response = client.get("/").await;
        assert_eq!((response.status, response.text()), (200, "ok"));
    }
    origin.is_left().await;
}

#[tokio::test]
async fn a_request_that_a_peer_has_begun_to_answer_is_not_repeated() {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = requests.clone();
    let origin = Origin::raw(move |mut stream| {
        let seen = seen.clone();
        async move {
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            for answer in [answer, "HTTP/1.1 103 Early Hints\r\n\r\n"] {
                let read = stream.read(&mut [0; 4096]).await;
                if read.is_ok_and(|read| read > 0) {
                    seen.fetch_add(1, Ordering::SeqCst);
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        }
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    for statuses in [&[200][..], &[103, 502]] {
        wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        for status in statuses {
            assert_eq!(wire.response().await.status, *status);
        }
    }
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

/// The end of a body is sent to the next peer as well, where there is nothing else of it.
#[tokio::test]
async fn a_request_with_an_empty_body_is_repeated_whole() {
    // Answers one request on each connection, and closes it when the next has come.
    let origin = Origin::raw(async |mut stream| {
        let mut came = Vec::new();
        while !came.ends_with(b"\r\n\r\n") {
            let Ok(1..) = stream.read_buf(&mut came).await else {
                return;
            };
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.read_buf(&mut came).await;
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    for _ in 0..20 {
        wire.send("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")
            .await;
        assert_eq!(wire.response().await.status, 200);
    }
}
