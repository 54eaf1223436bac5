//! Replies whose body a plugin makes piece by piece.

use http_body_util::Full;
use tokio::io::AsyncReadExt;

use crate::harness::{Origin, Proxy, post, request, until};

use super::support::{memory, peer, route_through, start};

const PHASES: [&str; 6] = [
    "request",
    "request-body",
    "upstream-choice",
    "upstream-request",
    "response",
    "response-body",
];

/// Ten mebibytes.
const LARGE: &str = "pieces = 160, size = 65536";

async fn replying(when: &str, config: &str, origin: &Origin) -> Proxy {
    let plugins =
        format!("[{{ use = \"stream-reply\", config = {{ when = \"{when}\", {config} }} }}]");
    start(&["stream-reply"], &route_through(&plugins, &peer(origin))).await
}

async fn origin() -> Origin {
    Origin::answering(|_| {
        let response = http::Response::builder().header("x-origin", "1");
        response.body(Full::from("of the origin")).unwrap()
    })
    .await
}

/// What the guest says with so many pieces of this size.
fn said(pieces: usize, size: usize) -> Vec<u8> {
    let letters = (b'a'..=b'z').cycle().take(pieces);
    letters.flat_map(|letter| vec![letter; size]).collect()
}

#[tokio::test]
async fn a_reply_is_streamed_in_every_phase_that_can_reply() {
    let origin = origin().await;
    let whole = said(160, 65536);
    for when in PHASES {
        let proxy = replying(when, LARGE, &origin).await;
        let mut h2 = proxy.h2_client().await;
        for response in [
            proxy.get("/").await,
            proxy.get("/").await,
            h2.get("/").await,
            h2.get("/").await,
        ] {
            assert_eq!(response.status, 200, "{when}");
            assert_eq!(response.header("x-streamed"), "yes", "{when}");
            assert_eq!(response.header("x-origin"), "", "{when}");
            assert!(!response.headers.contains_key("content-length"), "{when}");
            assert!(response.body == whole, "{when}: {}", response.body.len());
        }
        proxy
            .metric_becomes("tidegate_plugin_stream_reply_pieces_total", 640.0)
            .await;
    }
}

#[tokio::test]
async fn an_old_client_gets_it_until_the_connection_ends() {
    let origin = origin().await;
    for when in ["request", "response"] {
        let proxy = replying(when, LARGE, &origin).await;
        let mut wire = proxy.wire().await;
        wire.send("GET / HTTP/1.0\r\n\r\n").await;
        let response = wire.response().await;
        assert!(
            !response.headers.contains_key("transfer-encoding"),
            "{when}"
        );
        assert!(
            response.body == said(160, 65536),
            "{when}: {}",
            response.body.len()
        );
    }
}

#[tokio::test]
async fn to_head_there_is_no_body() {
    let origin = origin().await;
    for when in ["request", "response"] {
        let proxy = replying(when, "pieces = 3, size = 10", &origin).await;
        let mut wire = proxy.wire().await;
        wire.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let response = wire.response_to_head().await;
        let got = (response.status, response.header("x-streamed"));
        assert_eq!(got, (200, "yes"), "{when}");
        // What takes the place of an upstream's response is the last on its connection.
        if when == "response" {
            assert_eq!(wire.rest().await, "", "{when}");
            wire = proxy.wire().await;
        }
        wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let body = wire.response().await.body;
        assert!(body == said(3, 10), "{when}: the framing is right");
        let mut h2 = proxy.h2_client().await;
        assert_eq!(h2.send(request("HEAD", "/", "")).await.text(), "", "{when}");
        assert!(h2.get("/").await.body == said(3, 10), "{when}");
    }
}

#[tokio::test]
async fn an_empty_reply_is_an_empty_body() {
    let origin = origin().await;
    for config in ["pieces = 0, size = 10", "pieces = 2, size = 0"] {
        let proxy = replying("request", config, &origin).await;
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            for _ in 0..2 {
                let response = client.get("/").await;
                assert_eq!((response.status, response.text()), (200, ""), "{config}");
            }
        }
    }
}

#[tokio::test]
async fn a_reply_that_cannot_be_finished_is_cut() {
    let origin = origin().await;
    for when in PHASES {
        let config = "pieces = 9, size = 10000, fail_after = 5";
        let proxy = replying(when, config, &origin).await;
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            let cut = client.try_send(post("/", "x")).await;
            assert!(cut.is_err(), "{when}: a part looks like the whole: {cut:?}");
        }
        let line = proxy.access_line("/").await;
        let error = line.field("error").unwrap_or_default();
        assert!(error.contains("error"), "{when}: {error:?}");
    }
}

#[tokio::test]
async fn another_plugin_sees_and_changes_it() {
    let origin = origin().await;
    for mode in ["streaming", "buffer", "peek"] {
        let watch =
            format!("response = {{ mode = \"{mode}\", size = 100000, action = \"upper\" }}");
        let plugins = format!(
            "[{{ use = \"body\", config = {{ {watch} }} }}, {{ use = \"stream-reply\", config = {{ when = \"request\", pieces = 3, size = 1000 }} }}]"
        );
        let config = route_through(&plugins, &peer(&origin));
        let proxy = start(&["body", "stream-reply"], &config).await;
        let mut expected = said(3, 1000);
        // Peeked at is what fits, and here all of it does.
        expected.make_ascii_uppercase();
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            for _ in 0..2 {
                assert!(client.get("/").await.body == expected, "{mode}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_run_ahead_of() {
    let origin = origin().await;
    let proxy = replying("request", "pieces = 16384, size = 65536", &origin).await;
    let before = memory(&proxy);
    let mut wire = tokio::net::TcpStream::connect(proxy.address())
        .await
        .unwrap();
    let sent = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut wire, sent)
        .await
        .unwrap();
    let pieces = "tidegate_plugin_stream_reply_pieces_total";
    let (mut last, mut rounds) = (0.0, 0);
    let asked = until("a plugin that is not asked for more", async || {
        let now = proxy.metric(pieces).await;
        rounds = if now == last { rounds + 1 } else { 0 };
        last = now;
        (now > 0.0 && rounds == 40).then_some(now)
    })
    .await;
    assert!(asked < 400.0, "{asked} pieces of 64 KiB were asked for");
    assert!(memory(&proxy) < before + (16 << 20));
    // Who leaves is noticed, and the instance is free again.
    let _ = wire.read(&mut [0; 4096]).await;
    drop(wire);
    proxy
        .metric_becomes("tidegate_connections{listener=\"web\"}", 0.0)
        .await;
}

#[tokio::test]
async fn a_large_reply_reaches_a_client_whose_body_was_not_read() {
    let origin = origin().await;
    let proxy = replying("request", LARGE, &origin).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n";
    for _ in 0..5 {
        let mut wire = proxy.wire().await;
        wire.send(head).await;
        wire.send(vec![b'x'; 100_000]).await;
        let response = wire.response().await;
        assert!(response.body == said(160, 65536), "{}", response.body.len());
    }
}
