//! How much of a body may be held for plugins, and what becomes of one that is larger.

use bytes::Bytes;
use http_body_util::Full;

use crate::harness::{Origin, Proxy, get, post, streamed, tidegate, until};

use super::support::{folder, guest, peer, route_through, start, uncached};

/// A proxy with one use of the guest `body`, more sections, and keys for `[plugin.body]`.
async fn limited(config: &str, origin: &Origin, keys: &str, more: &str) -> Proxy {
    let plugins = format!("[{{ use = \"body\", config = {{ {config} }} }}]");
    let route = route_through(&plugins, &peer(origin));
    start(
        &["body"],
        &format!("{more}\n{route}\n[plugin.body]\n{keys}\n"),
    )
    .await
}

/// The `[plugins]` of [`uncached`], with one more key.
fn plugins_with(key: &str) -> String {
    format!("[plugins]\nallow = [\"metrics\"]\ncache = \"off\"\ndeadline = \"2s\"\n{key}\n")
}

fn pieces(size: usize) -> Vec<Bytes> {
    let piece = Bytes::from(vec![b'x'; 1000]);
    vec![piece; size / 1000]
}

#[tokio::test]
async fn a_request_over_the_size_of_the_buffer_is_a_413() {
    let origin = Origin::echo().await;
    let buffer = r#"request = { mode = "buffer", size = 10000 }"#;
    let proxy = limited(buffer, &origin, "", "").await;
    let mut h2 = proxy.h2_client().await;
    for size in [9000, 10_000] {
        let body = vec![b'x'; size];
        assert_eq!(proxy.send(post("/", body)).await.body.len(), size);
        let response = h2.send(streamed("/", pieces(size))).await;
        assert_eq!(response.body.len(), size);
    }
    for size in [11_000, 1_000_000] {
        // Byte by byte, because libraries give up where they cannot send all.
        let body = "x".repeat(size);
        for framed in [
            format!("content-length: {size}\r\n\r\n{body}"),
            format!("transfer-encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"),
        ] {
            let mut wire = proxy.wire().await;
            wire.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{framed}"))
                .await;
            assert_eq!(wire.response().await.status, 413, "{:?}", &framed[..20]);
        }
        assert_eq!(
            h2.send(streamed("/", pieces(size))).await.status,
            413,
            "{size}"
        );
    }
    assert_eq!(origin.seen().len(), 4);
    assert_eq!(h2.send(post("/", "small")).await.text(), "small");
}

#[tokio::test]
async fn a_response_over_the_size_of_the_buffer_is_a_502() {
    let origin = Origin::echo().await;
    let buffer = r#"response = { mode = "buffer", size = 10000 }"#;
    let proxy = limited(buffer, &origin, "", "").await;
    let mut h2 = proxy.h2_client().await;
    let fits = vec![b'x'; 10_000];
    assert_eq!(proxy.send(post("/", fits.clone())).await.body, fits);
    for size in [11_000, 1_000_000] {
        let body = vec![b'x'; size];
        assert_eq!(
            proxy.send(post("/", body.clone())).await.status,
            502,
            "{size}"
        );
        assert_eq!(h2.send(post("/", body)).await.status, 502, "{size}");
    }
    assert_eq!(h2.send(post("/", "small")).await.text(), "small");
}

#[tokio::test]
async fn with_the_policy_open_a_larger_body_passes_unseen() {
    let origin = Origin::echo().await;
    for direction in ["request", "response"] {
        let buffer = format!(
            "name = \"a\", {direction} = {{ mode = \"buffer\", size = 10000, action = \"drop\" }}"
        );
        let keys = "on_failure = { over_limit = \"open\" }";
        let proxy = limited(&buffer, &origin, keys, "").await;
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            for size in [11_000, 1_000_000] {
                let body = vec![b'x'; size];
                let response = client.send(post("/", body.clone())).await;
                assert!(
                    response.body == body,
                    "{direction} of {size}: {}",
                    response.body.len()
                );
                assert_eq!(response.header("x-response-body"), "", "{direction}");
                let response = client.send(streamed("/", pieces(size))).await;
                assert!(
                    response.body == body,
                    "{direction} of {size}: {}",
                    response.body.len()
                );
                assert_eq!(origin.seen().pop().unwrap().header("x-request-body"), "");
            }
        }
        assert_eq!(
            proxy.metric("tidegate_plugin_body_calls_total").await,
            0.0,
            "{direction}"
        );
    }
}

#[tokio::test]
async fn the_limit_of_all_bodies_counts_what_plugins_see_too() {
    let origin = Origin::echo().await;
    for mode in ["buffer", "peek", "streaming"] {
        let watch = format!("request = {{ mode = \"{mode}\", size = 5000 }}");
        let proxy = limited(&watch, &origin, "", "[limits]\nbody_bytes = 4000").await;
        assert_eq!(
            proxy.send(post("/", vec![b'x'; 4000])).await.status,
            200,
            "{mode}"
        );
        let before = origin.seen().len();
        assert_eq!(
            proxy.send(post("/", vec![b'x'; 4001])).await.status,
            413,
            "{mode}"
        );
        assert_eq!(
            proxy.send(streamed("/", pieces(5000))).await.status,
            413,
            "{mode}"
        );
        let mut h2 = proxy.h2_client().await;
        assert_eq!(
            h2.send(streamed("/", pieces(5000))).await.status,
            413,
            "{mode}"
        );
        assert_eq!(origin.seen().len(), before, "{mode}");
    }
}

#[tokio::test]
async fn a_plugin_that_wants_more_than_the_operator_allows_is_refused() {
    let config = uncached(
        "
[[route]]
plugins = [{ use = \"body\", config = { request = { mode = \"buffer\", size = 65537 } } }]
respond = { body = \"hi\" }

[plugin.body]
body_bytes = \"64KiB\"
",
    );
    let folder = folder(&[("body.wasm", guest("body"))]);
    let path = folder.path().join("tidegate.toml");
    let with_listener = format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{config}");
    std::fs::write(&path, with_listener).unwrap();
    let checked = tidegate(&["check", "--config", path.to_str().unwrap()]);
    let told = format!("{}{}", checked.stdout, checked.stderr);
    assert!(!checked.status.success(), "{told}");
    assert!(told.contains("65537"), "{told}");
}

#[tokio::test]
async fn all_requests_together_hold_no_more_than_is_allowed() {
    let origin = Origin::echo().await;
    // The first holds nothing, and counts what comes to the second.
    let plugins = r#"[
        { use = "body", config = { request = { mode = "streaming" } } },
        { use = "body", config = { request = { mode = "buffer", size = 65536 } } },
    ]"#;
    let all = plugins_with("body_bytes = \"64KiB\"\nbody_bytes_total = 100000");
    let route = route_through(plugins, &peer(&origin));
    let proxy = start(&["body"], &format!("{all}{route}")).await;
    let becomes = async |bytes: usize, status: u16| {
        until(&format!("{status} for {bytes} bytes"), async || {
            let response = proxy.send(post("/", vec![b'x'; bytes])).await;
            (response.status == status).then_some(())
        })
        .await;
    };
    // One client sends most of a body and keeps the proxy waiting for the rest.
    let mut slow = proxy.wire().await;
    let head = "POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n";
    slow.send([head.as_bytes(), &[b'x'; 59_999]].concat()).await;
    let counted = "tidegate_plugin_body_bytes_total{direction=\"request\"}";
    proxy.metric_becomes(counted, 59_999.0).await;
    becomes(60_000, 413).await;
    becomes(30_000, 200).await;
    slow.send("x").await;
    assert_eq!(slow.response().await.body.len(), 60_000);
    // What was held is given back; what clients left behind, too.
    becomes(60_000, 200).await;
    for _ in 0..20 {
        let mut gone = proxy.wire().await;
        gone.send([head.as_bytes(), &[b'x'; 50_000]].concat()).await;
    }
    becomes(65_000, 200).await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_send_what_a_plugin_waits_for() {
    const HEAD: &str =
        "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    let origin = Origin::echo().await;
    for mode in ["buffer", "peek", "streaming"] {
        let watch = format!("request = {{ mode = \"{mode}\", size = 100, action = \"upper\" }}");
        let proxy = limited(&watch, &origin, "", "").await;
        let mut wire = proxy.wire().await;
        wire.send(HEAD).await;
        assert_eq!(wire.response().await.status, 100, "{mode}");
        wire.send("hello").await;
        // One consent, not two.
        let response = wire.response().await;
        let got = (response.status, response.text());
        assert_eq!(got, (200, "HELLO"), "{mode}");
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_by_the_head_alone() {
    let origin = Origin::answering(|_| http::Response::new(Full::from("no"))).await;
    let buffer = r#"request = { mode = "buffer", size = 4 }"#;
    let proxy = limited(buffer, &origin, "", "[limits]\nbody_bytes = 4").await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        .await;
    assert_eq!(wire.response().await.status, 413);
    assert_eq!(proxy.send(get("/")).await.status, 200);
}
