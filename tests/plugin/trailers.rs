//! Trailers of an HTTP/2 upstream, for HTTP/2 clients, and the plugins that edit them.

use bytes::Bytes;
use http::{HeaderMap, Version};
use http_body_util::{BodyExt, Full};

use crate::harness::{Origin, Proxy, Response, get, post};

use super::support::{peer, route_through, start};

/// Answers with the request's body and some trailers.
async fn origin() -> Origin {
    Origin::h2(|seen| {
        let mut trailers = HeaderMap::new();
        for (name, value) in [
            ("x-checksum", "abc"),
            ("x-secret", "1"),
            ("x-order", "origin"),
        ] {
            trailers.append(name, value.parse().unwrap());
        }
        let sent = std::future::ready(Some(Ok(trailers)));
        http::Response::new(Full::new(seen.body).with_trailers(sent).boxed())
    })
    .await
}

/// A proxy with these plugins in front of it, which speaks HTTP/2 with it.
async fn through(plugins: &str, origin: &Origin) -> Proxy {
    let upstream = format!("{}\nprotocol = \"http2\"", peer(origin));
    start(
        &["body", "trailers", "outcome"],
        &route_through(plugins, &upstream),
    )
    .await
}

const EDIT: &str = r#"{ use = "trailers", config = { name = "a" } }"#;
const EDIT_TOO: &str = r#"{ use = "trailers", config = { name = "b" } }"#;

fn assert_edited(response: &Response, what: &str) {
    let trailers = &response.trailers;
    assert_eq!(trailers["x-checksum"], "ABC", "{what}");
    assert!(!trailers.contains_key("x-secret"), "{what}");
    assert_eq!(
        trailers["x-reply"], "wrong-phase",
        "{what}: too late for a reply"
    );
}

#[tokio::test]
async fn trailers_pass_with_and_without_plugins() {
    let origin = origin().await;
    let body = |mode: &str| {
        let watch = format!("response = {{ mode = \"{mode}\", size = 100 }}");
        format!("[{{ use = \"body\", config = {{ {watch} }} }}]")
    };
    for plugins in [
        "[]",
        "[\"outcome\"]",
        &body("streaming"),
        &body("buffer"),
        &body("peek"),
    ] {
        let proxy = through(plugins, &origin).await;
        let mut client = proxy.h2_client().await;
        for text in ["hello", ""] {
            let response = client.send(post("/", text)).await;
            assert_eq!((response.status, response.text()), (200, text), "{plugins}");
            assert_eq!(response.trailers.len(), 3, "{plugins}");
            assert_eq!(response.trailers["x-checksum"], "abc", "{plugins}");
        }
    }
    assert!(
        origin
            .seen()
            .iter()
            .all(|seen| seen.version == Version::HTTP_2)
    );
}

#[tokio::test]
async fn plugins_edit_trailers_in_reverse_order() {
    let origin = origin().await;
    let proxy = through(&format!("[{EDIT}, {EDIT_TOO}]"), &origin).await;
    let mut client = proxy.h2_client().await;
    for text in ["hello", ""] {
        let response = client.send(post("/", text)).await;
        assert_eq!(response.text(), text);
        assert_edited(&response, text);
        let order = response.trailers.get_all("x-order").iter();
        let order: Vec<_> = order.map(|value| value.to_str().unwrap()).collect();
        assert_eq!(order, ["origin", "b", "a"]);
    }
}

#[tokio::test]
async fn a_body_that_plugins_change_has_its_trailers_behind_it() {
    let origin = origin().await;
    for mode in ["streaming", "buffer", "peek"] {
        for (action, expected) in [("upper", "HELLO"), ("append", "hello!"), ("drop", "")] {
            let watch = format!(
                "response = {{ mode = \"{mode}\", size = 100, action = \"{action}\", text = \"!\" }}"
            );
            let body = format!("{{ use = \"body\", config = {{ {watch} }} }}");
            // Before the one that edits trailers, and after it.
            for plugins in [format!("[{body}, {EDIT}]"), format!("[{EDIT}, {body}]")] {
                let proxy = through(&plugins, &origin).await;
                let mut client = proxy.h2_client().await;
                for _ in 0..2 {
                    let response = client.send(post("/", "hello")).await;
                    assert_eq!(response.text(), expected, "{plugins}");
                    assert_edited(&response, &plugins);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_client_of_http_1_gets_the_response_without_them() {
    let origin = origin().await;
    let watch = "response = { mode = \"buffer\", size = 100, action = \"upper\" }";
    let body = format!("{{ use = \"body\", config = {{ {watch} }} }}");
    for (plugins, expected) in [
        (format!("[{EDIT}]"), "hello"),
        (format!("[{EDIT}, {body}]"), "HELLO"),
    ] {
        let proxy = through(&plugins, &origin).await;
        let mut wire = proxy.wire().await;
        for _ in 0..2 {
            wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello")
                .await;
            let response = wire.response().await;
            assert_eq!(response.text(), expected, "{plugins}");
            assert!(!response.headers.contains_key("x-checksum"), "{plugins}");
        }
    }
}

#[tokio::test]
async fn an_http_2_origin_serves_plugins_that_see_bodies() {
    let origin = Origin::h2(|seen| http::Response::new(Full::new(seen.body).boxed())).await;
    let large = Bytes::from(vec![b'x'; 300_000]);
    for mode in ["streaming", "buffer", "peek"] {
        let watch = format!("{{ mode = \"{mode}\", size = 1000000, action = \"upper\" }}");
        let plugins =
            format!("[{{ use = \"body\", config = {{ request = {watch}, response = {watch} }} }}]");
        let proxy = through(&plugins, &origin).await;
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            for text in ["hello", ""] {
                let response = client.send(post("/", text)).await;
                assert_eq!(response.text(), text.to_uppercase(), "{mode}");
                let length = origin.seen().pop().unwrap().header("content-length");
                assert!(
                    length.is_empty() || length == text.len().to_string(),
                    "{mode}"
                );
            }
            assert_eq!(client.send(get("/")).await.text(), "", "{mode}");
            let response = client.send(post("/", large.clone())).await;
            assert!(response.body == large.to_ascii_uppercase(), "{mode}");
        }
    }
}
