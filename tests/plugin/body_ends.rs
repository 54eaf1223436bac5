//! Bodies that end before they are whole, while plugins look at them; and requests that go to the next peer
//! with the body that was held.

use bytes::Bytes;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Origin, Proxy, get, post, refusing_address, request, streamed};

use super::support::{peer, route_through, start};

const OPEN: &str = r#"tidegate_connections{listener="web"}"#;
const MODES: [&str; 3] = ["streaming", "buffer", "peek"];

/// Both directions in this mode, and the end of the exchange written down.
fn watched(mode: &str) -> String {
    let watch = format!("{{ mode = \"{mode}\", size = 100000 }}");
    format!(
        "[{{ use = \"body\", config = {{ request = {watch}, response = {watch} }} }}, \"outcome\"]"
    )
}

async fn proxy_to(mode: &str, upstream: &str) -> Proxy {
    start(
        &["body", "outcome"],
        &route_through(&watched(mode), upstream),
    )
    .await
}

/// Reads a request's head and answers with these bytes. Then the connection is reset.
async fn cut_after(mut stream: TcpStream, bytes: &[u8]) {
    let _ = stream.read(&mut [0; 4096]).await;
    let _ = stream.write_all(bytes).await;
    // Without waiting for what is still to be sent, so that the other side sees a reset.
    let _ = stream.set_zero_linger();
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_an_upload_is_seen_to_leave() {
    let origin = Origin::echo().await;
    for mode in MODES {
        let proxy = proxy_to(mode, &peer(&origin)).await;
        for head in ["content-length: 100", "transfer-encoding: chunked"] {
            let mut wire = proxy.wire().await;
            wire.send(format!(
                "POST /half HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n5\r\nhello\r\n"
            ))
            .await;
            drop(wire);
        }
        let ended = "tidegate_plugin_outcome_exchanges_total";
        proxy.metric_becomes(ended, 2.0).await;
        proxy.metric_becomes(OPEN, 0.0).await;
        let ends = "tidegate_plugin_body_calls_total{direction=\"request\",end=\"true\"}";
        assert_eq!(proxy.metric(ends).await, 0.0, "{mode}: it never was whole");
        let line = proxy.access_line("/half").await;
        let error = line.field("error").unwrap();
        assert!(error.starts_with("client: "), "{mode}: {error}");
        assert_eq!(
            line.field("status").as_deref(),
            Some("0"),
            "{mode}: nobody was answered"
        );
        assert_eq!(proxy.send(post("/", "next")).await.text(), "next", "{mode}");
        proxy.metric_becomes(ended, 3.0).await;
    }
    assert!(origin.seen().iter().all(|seen| seen.target == "/"));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_download_stops_the_origin() {
    for mode in ["streaming", "peek"] {
        let origin = Origin::raw(async |mut stream| {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let piece = vec![b'x'; 1 << 16];
            while stream.write_all(&piece).await.is_ok() {}
        })
        .await;
        let proxy = proxy_to(mode, &peer(&origin)).await;
        let mut wire = proxy.wire().await;
        wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        wire.first_byte().await;
        drop(wire);
        origin.is_left().await;
        proxy.metric_becomes(OPEN, 0.0).await;
        let ended = "tidegate_plugin_outcome_exchanges_total";
        proxy.metric_becomes(ended, 1.0).await;
    }
}

#[tokio::test]
async fn an_origin_that_breaks_off_while_the_head_waits_is_a_502() {
    let origin = Origin::raw(async |stream| {
        let part = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello";
        cut_after(stream, part).await;
    })
    .await;
    for mode in ["buffer", "peek"] {
        let proxy = proxy_to(mode, &peer(&origin)).await;
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            let response = client.send(post("/", "x")).await;
            assert_eq!(response.status, 502, "{mode}");
            assert!(!response.text().contains("hello"), "{mode}");
        }
        let ends = "tidegate_plugin_body_calls_total{direction=\"response\"}";
        // The 502 of the proxy is a response too, and has a body; what broke off was never shown.
        proxy.metric_becomes(ends, 2.0).await;
        proxy
            .metric_becomes("tidegate_plugin_outcome_exchanges_total", 2.0)
            .await;
    }
}

#[tokio::test]
async fn an_origin_that_breaks_off_in_a_stream_does_not_look_complete() {
    for part in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let origin = Origin::raw(move |stream| cut_after(stream, part)).await;
        let proxy = proxy_to("streaming", &peer(&origin)).await;
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            match client.try_send(get("/")).await {
                Err(_) => {}
                // A reset may overtake the head.
                Ok(response) => assert_eq!(response.status, 502, "{part:?}: {response:?}"),
            }
        }
        proxy
            .metric_becomes("tidegate_plugin_outcome_exchanges_total", 2.0)
            .await;
        let ends = "tidegate_plugin_body_calls_total{direction=\"response\",end=\"true\"}";
        assert!(proxy.metric(ends).await <= 2.0);
    }
}

#[tokio::test]
async fn a_body_that_was_held_goes_whole_to_the_next_peer() {
    let origin = Origin::echo().await;
    let large = Bytes::from(vec![b'x'; 50_000]);
    let peers = format!("peers = [{:?}, {:?}]", refusing_address(), origin.address());
    for mode in ["buffer", "peek"] {
        let proxy = proxy_to(mode, &peers).await;
        let mut requests = 0.0;
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            // In turn, so that one of each two begins with the peer that is not there.
            for method in ["POST", "POST", "PUT", "PUT"] {
                let response = client.send(request(method, "/", large.clone())).await;
                assert_eq!(response.status, 200, "{mode} {method}");
                assert!(
                    response.body == large,
                    "{mode} {method}: {}",
                    response.body.len()
                );
                requests += 1.0;
            }
        }
        let calls = "tidegate_plugin_body_calls_total{direction=\"request\"}";
        proxy.metric_becomes(calls, requests).await;
    }
}

#[tokio::test]
async fn a_body_that_was_held_goes_whole_over_a_new_connection() {
    // Answers once on each connection, with how much it got, and closes it when the next comes.
    let origin = Origin::raw(async |mut stream| {
        let mut came = Vec::new();
        while !came.ends_with(b"end") {
            let Ok(1..) = stream.read_buf(&mut came).await else {
                return;
            };
        }
        let count = came
            .iter()
            .filter(|&&byte| byte == b'#')
            .count()
            .to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", count.len());
        let _ = stream.write_all((head + &count).as_bytes()).await;
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    let body = format!("{}end", "#".repeat(50_000));
    for mode in ["buffer", "peek"] {
        let proxy = proxy_to(mode, &peer(&origin)).await;
        let mut client = proxy.client().await;
        for _ in 0..20 {
            let response = client.send(request("PUT", "/", body.clone())).await;
            assert_eq!((response.status, response.text()), (200, "50000"), "{mode}");
        }
    }
}

#[tokio::test]
async fn a_body_that_was_streamed_is_not_shown_to_a_plugin_twice() {
    let origin = Origin::echo().await;
    let deaf = Origin::raw(async |mut stream| {
        let _ = stream.read(&mut [0; 65536]).await;
    })
    .await;
    let peers = format!("peers = [{:?}, {:?}]", deaf.address(), origin.address());
    let proxy = proxy_to("streaming", &peers).await;
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(proxy.send(request("PUT", "/", "hello")).await.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502], "one of them cannot be repeated");
    proxy
        .metric_becomes(
            "tidegate_plugin_body_bytes_total{direction=\"request\"}",
            10.0,
        )
        .await;
}

#[tokio::test]
async fn an_origin_that_answers_before_the_body_is_there() {
    let origin = Origin::raw(async |mut stream| {
        let _ = stream.read(&mut [0; 1024]).await;
        let answer =
            b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 5\r\n\r\nearly";
        let _ = stream.write_all(answer).await;
        let mut rest = vec![0; 1 << 16];
        while matches!(stream.read(&mut rest).await, Ok(1..)) {}
    })
    .await;
    for mode in ["streaming", "peek"] {
        let proxy = proxy_to(mode, &peer(&origin)).await;
        let pieces = || vec![Bytes::from(vec![b'x'; 20_000]); 10];
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            let response = client.send(streamed("/", pieces())).await;
            assert_eq!((response.status, response.text()), (403, "early"), "{mode}");
        }
    }
    let fine = Origin::answering(|_| http::Response::new(Full::from("fine"))).await;
    let proxy = proxy_to("streaming", &peer(&fine)).await;
    assert_eq!(proxy.get("/").await.text(), "fine");
}
