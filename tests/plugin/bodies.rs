//! What plugins do to bodies, in each mode and both directions, and how the messages are framed afterwards.

use bytes::Bytes;
use http::Version;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Origin, Proxy, Request, Response, get, post, request, streamed};

use super::support::{peer, route_through, start};

const MODES: [&str; 3] = ["streaming", "buffer", "peek"];

/// What is done to the body `hello`, and what becomes of it.
const ACTIONS: [(&str, &str); 5] = [
    ("pass", "hello"),
    ("upper", "HELLO"),
    ("replace", "other"),
    ("append", "helloother"),
    ("drop", ""),
];

/// A route for each mode and action, such as `/peek/drop`, to one upstream.
fn every_action(direction: &str, origin: &Origin) -> String {
    let mut config = format!("[upstream.app]\n{}\n", peer(origin));
    for mode in MODES {
        for (action, _) in ACTIONS {
            config += &format!(
                "
[[route]]
match = {{ path = \"/{mode}/{action}\" }}
plugins = [{{ use = \"body\", config = {{ {direction} = {{ mode = \"{mode}\", size = 100, action = \"{action}\", text = \"other\" }} }} }}]
upstream = \"app\"
"
            );
        }
    }
    config
}

/// A proxy in front of this origin with one route through the guest `body`, so configured.
async fn through(config: &str, origin: &Origin) -> Proxy {
    let plugins = format!("[{{ use = \"body\", config = {{ {config} }} }}]");
    start(&["body"], &route_through(&plugins, &peer(origin))).await
}

/// A message says in one way where it ends, and truly.
fn assert_framed(response: &Response, body: &str, what: &str) {
    assert_eq!(response.text(), body, "{what}");
    let length = response.headers.get("content-length");
    let chunked = response.headers.contains_key("transfer-encoding");
    assert_eq!(length.is_none(), chunked, "{what}: {:?}", response.headers);
    if let Some(length) = length {
        assert_eq!(length.to_str().unwrap(), body.len().to_string(), "{what}");
    }
}

#[tokio::test]
async fn every_action_changes_a_request_body_as_it_says() {
    let origin = Origin::echo().await;
    let proxy = start(&["body"], &every_action("request", &origin)).await;
    // All on three connections: an exchange that was framed wrongly spoils the next.
    let (mut h1, mut h2) = (proxy.client().await, proxy.h2_client().await);
    let mut chunked = proxy.client().await;
    for mode in MODES {
        for (action, expected) in ACTIONS {
            let path = format!("/{mode}/{action}");
            let chunks = || vec![Bytes::from("he"), Bytes::from("llo")];
            for response in [
                h1.send(post(&path, "hello")).await,
                chunked.send(streamed(&path, chunks())).await,
                h2.send(post(&path, "hello")).await,
                h2.send(streamed(&path, chunks())).await,
            ] {
                assert_eq!(response.status, 200, "{path}");
                assert_eq!(response.text(), expected, "{path}, {:?}", response.version);
            }
            let seen = origin.seen().pop().unwrap();
            let whole = mode != "streaming";
            let length = match (whole, expected) {
                // The last came in HTTP/2 and said nothing of a length, nor need a request without a body.
                (true, "") => "",
                (true, _) => &expected.len().to_string(),
                (false, _) => "",
            };
            assert_eq!(seen.header("content-length"), length, "{path}");
            assert_eq!(seen.header("transfer-encoding").is_empty(), whole, "{path}");
        }
    }
}

#[tokio::test]
async fn every_action_changes_a_response_body_as_it_says() {
    let origin = Origin::answering(|_| http::Response::new(Full::from("hello"))).await;
    let proxy = start(&["body"], &every_action("response", &origin)).await;
    let (mut wire, mut h2) = (proxy.wire().await, proxy.h2_client().await);
    for mode in MODES {
        for (action, expected) in ACTIONS {
            let path = format!("/{mode}/{action}");
            wire.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
                .await;
            let response = wire.response().await;
            assert_framed(&response, expected, &path);
            let whole = mode != "streaming";
            assert_eq!(
                response.headers.contains_key("content-length"),
                whole,
                "{path}"
            );
            let response = h2.get(&path).await;
            assert_eq!(response.text(), expected, "{path}, HTTP/2");
            assert!(
                !response.headers.contains_key("transfer-encoding"),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn an_old_client_gets_a_length_or_the_end_of_the_connection() {
    let origin = Origin::answering(|_| http::Response::new(Full::from("hello"))).await;
    let proxy = start(&["body"], &every_action("response", &origin)).await;
    for mode in MODES {
        for (action, expected) in ACTIONS {
            let path = format!("/{mode}/{action}");
            let mut wire = proxy.wire().await;
            wire.send(format!("GET {path} HTTP/1.0\r\n\r\n")).await;
            let response = wire.response().await;
            assert_eq!(
                (response.status, response.text()),
                (200, expected),
                "{path}"
            );
            assert!(
                !response.headers.contains_key("transfer-encoding"),
                "{path}"
            );
            let whole = mode != "streaming";
            assert_eq!(
                response.headers.contains_key("content-length"),
                whole,
                "{path}"
            );
            assert_eq!(wire.rest().await, "", "{path}");
        }
    }
}

/// An origin that answers each request with these bytes, and closes.
async fn sending(bytes: &'static str) -> Origin {
    Origin::raw(async move |mut stream| {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(bytes.as_bytes()).await;
    })
    .await
}

#[tokio::test]
async fn whatever_way_the_origin_frames_its_response() {
    for origin in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    ] {
        let upstream = sending(origin).await;
        let proxy = start(&["body"], &every_action("response", &upstream)).await;
        let mut client = proxy.client().await;
        for mode in MODES {
            for (action, expected) in ACTIONS {
                let path = format!("/{mode}/{action}");
                let response = client.get(&path).await;
                assert_framed(&response, expected, &format!("{path} of {origin:?}"));
            }
        }
    }
}

#[tokio::test]
async fn an_early_hint_reaches_the_client_before_the_response_that_waits() {
    let origin = sending(
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    )
    .await;
    let watch = r#"response = { mode = "buffer", size = 100, action = "upper" }"#;
    let proxy = through(watch, &origin).await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let hint = wire.response().await;
    assert_eq!((hint.status, hint.header("link")), (103, "</a>"));
    assert_framed(&wire.response().await, "HELLO", "after the hint");
}

#[tokio::test]
async fn a_head_that_waits_says_what_was_in_the_body() {
    let origin = Origin::echo().await;
    for mode in ["buffer", "peek"] {
        let watch = format!(
            "name = \"a\", request = {{ mode = \"{mode}\", size = 100 }}, response = {{ mode = \"{mode}\", size = 100 }}"
        );
        let proxy = through(&watch, &origin).await;
        let response = proxy.send(post("/", "hello")).await;
        assert_eq!(response.header("x-response-body"), "a=5", "{mode}");
        let seen = origin.seen().pop().unwrap();
        assert_eq!(seen.header("x-request-body"), "a=5", "{mode}");
        let response = proxy.h2_client().await.send(post("/", "hello")).await;
        assert_eq!(response.header("x-response-body"), "a=5", "{mode}, HTTP/2");
    }
}

#[tokio::test]
async fn a_peek_sees_the_beginning_and_changes_only_that() {
    let origin = Origin::echo().await;
    let both = |action: &str| {
        format!(
            "name = \"a\", request = {{ mode = \"peek\", size = 4, action = \"{action}\", text = \"…\" }}, response = {{ mode = \"peek\", size = 4 }}"
        )
    };
    let body = "abcdefgh".repeat(20_000);
    for (action, becomes) in [
        ("upper", "ABCD"),
        ("replace", "…"),
        ("append", "abcd…"),
        ("drop", ""),
    ] {
        let proxy = through(&both(action), &origin).await;
        let chunks = body.as_bytes().chunks(1000).map(Bytes::copy_from_slice);
        let mut client = proxy.client().await;
        for request in [post("/", body.clone()), streamed("/", chunks.collect())] {
            let response = client.send(request).await;
            let expected = format!("{becomes}{}", &body[4..]);
            assert!(
                response.body == expected,
                "{action}: {}",
                response.body.len()
            );
            assert_eq!(response.header("x-response-body"), "a=4", "{action}");
        }
        for seen in origin.seen().iter().rev().take(2) {
            assert_eq!(seen.header("x-request-body"), "a=4", "{action}");
        }
    }
}

#[tokio::test]
async fn a_body_in_pieces_of_one_byte_is_the_same() {
    let origin = Origin::echo().await;
    let pieces = || {
        "hello, world"
            .bytes()
            .map(|byte| Bytes::from(vec![byte]))
            .collect::<Vec<_>>()
    };
    for mode in MODES {
        let watch = format!("{{ mode = \"{mode}\", size = 100, action = \"upper\" }}");
        let proxy = through(&format!("request = {watch}"), &origin).await;
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            let response = client.send(streamed("/", pieces())).await;
            assert_eq!(response.text(), "HELLO, WORLD", "{mode}");
        }
        let chunked: String = "hello, world"
            .chars()
            .map(|one| format!("1\r\n{one}\r\n"))
            .collect();
        let answer =
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunked}0\r\n\r\n");
        let dribbling = sending(answer.leak()).await;
        let proxy = through(&format!("response = {watch}"), &dribbling).await;
        assert_eq!(proxy.get("/").await.text(), "HELLO, WORLD", "{mode}");
    }
}

#[tokio::test]
async fn an_empty_body_is_one_call_that_may_fill_it() {
    let origin = Origin::echo().await;
    for mode in MODES {
        let watch =
            format!("{{ mode = \"{mode}\", size = 100, action = \"append\", text = \"new\" }}");
        let proxy = through(&format!("request = {watch}"), &origin).await;
        let mut client = proxy.client().await;
        let requests: [fn() -> Request; 3] =
            [|| get("/"), || post("/", ""), || streamed("/", Vec::new())];
        for (index, request) in requests.iter().enumerate() {
            assert_eq!(
                client.send(request()).await.text(),
                "new",
                "{mode}, {index}"
            );
            let response = proxy.h2_client().await.send(request()).await;
            assert_eq!(response.text(), "new", "{mode}, {index}, HTTP/2");
        }
        proxy
            .metric_becomes("tidegate_plugin_body_calls_total{end=\"true\"}", 6.0)
            .await;
        proxy
            .metric_becomes("tidegate_plugin_body_calls_total", 6.0)
            .await;
        let empty = Origin::answering(|_| http::Response::new(Full::default())).await;
        let proxy = through(&format!("response = {watch}"), &empty).await;
        let mut client = proxy.client().await;
        for _ in 0..2 {
            assert_framed(&client.get("/").await, "new", mode);
        }
        proxy
            .metric_becomes("tidegate_plugin_body_calls_total{end=\"true\"}", 2.0)
            .await;
    }
}

#[tokio::test]
async fn a_body_that_arrives_whole_has_exactly_one_call_with_its_end() {
    let origin = Origin::echo().await;
    let body = Bytes::from(vec![b'x'; 300_000]);
    for mode in ["streaming", "buffer"] {
        let watch = format!("{{ mode = \"{mode}\", size = 1000000 }}");
        let proxy = through(&format!("request = {watch}, response = {watch}"), &origin).await;
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            assert!(client.send(post("/", body.clone())).await.body == body);
            let pieces = body.chunks(10_000).map(Bytes::copy_from_slice).collect();
            assert!(client.send(streamed("/", pieces)).await.body == body);
        }
        for direction in ["request", "response"] {
            let ends = format!(
                "tidegate_plugin_body_calls_total{{direction=\"{direction}\",end=\"true\"}}"
            );
            proxy.metric_becomes(&ends, 4.0).await;
            let bytes = format!("tidegate_plugin_body_bytes_total{{direction=\"{direction}\"}}");
            proxy.metric_becomes(&bytes, 1_200_000.0).await;
        }
    }
}

#[tokio::test]
async fn a_response_without_a_body_has_no_call() {
    let origin = Origin::answering(|seen| {
        let status = seen.target.trim_start_matches('/').parse().unwrap_or(200);
        let body = if status == 200 { "hello" } else { "" };
        http::Response::builder()
            .status(status)
            .body(Full::from(body))
            .unwrap()
    })
    .await;
    for mode in MODES {
        let watch = format!("response = {{ mode = \"{mode}\", size = 100, action = \"upper\" }}");
        let proxy = through(&watch, &origin).await;
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            for path in ["/204", "/304"] {
                let response = client.get(path).await;
                assert_eq!(response.text(), "", "{mode} {path}");
                assert_eq!(format!("/{}", response.status), path, "{mode}");
            }
            let response = client.send(request("HEAD", "/", "")).await;
            assert_eq!((response.status, response.text()), (200, ""), "{mode}");
        }
        assert_eq!(proxy.metric("tidegate_plugin_body_calls_total").await, 0.0);
        let mut client = proxy.client().await;
        client.send(request("HEAD", "/", "")).await;
        assert_eq!(client.get("/").await.text(), "HELLO", "{mode} after HEAD");
    }
}

#[tokio::test]
async fn an_answer_of_the_proxy_itself_passes_too() {
    let config = r#"
[[route]]
plugins = [{ use = "body", config = { response = { mode = "streaming", action = "upper" } } },
           { use = "body", config = { response = { mode = "buffer", size = 100, action = "append", text = "!" } } }]
respond = { body = "hello" }
"#;
    let proxy = start(&["body"], config).await;
    let mut client = proxy.client().await;
    for _ in 0..2 {
        assert_framed(&client.get("/").await, "HELLO!", "HTTP/1.1");
    }
    let response = proxy.h2_client().await.get("/").await;
    assert_eq!(
        (response.version, response.text()),
        (Version::HTTP_2, "HELLO!")
    );
}

#[tokio::test]
async fn a_plugin_that_skips_the_body_leaves_its_length_as_it_is() {
    let origin = Origin::echo().await;
    for mode in MODES {
        let watch = format!("{{ mode = \"{mode}\", size = 100, action = \"upper\", skip = true }}");
        let proxy = through(&format!("request = {watch}, response = {watch}"), &origin).await;
        let response = proxy.send(post("/", "hello")).await;
        assert_framed(&response, "hello", mode);
        assert_eq!(response.header("content-length"), "5", "{mode}");
        let seen = origin.seen().pop().unwrap();
        assert_eq!(seen.header("content-length"), "5", "{mode}");
        assert_eq!(seen.header("transfer-encoding"), "", "{mode}");
        assert_eq!(proxy.metric("tidegate_plugin_body_calls_total").await, 0.0);
    }
}

#[tokio::test]
async fn a_plugin_that_has_seen_enough_is_not_called_again() {
    let origin = Origin::echo().await;
    let watch = "{ mode = \"streaming\", action = \"skip-rest\" }";
    let proxy = through(&format!("request = {watch}, response = {watch}"), &origin).await;
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    let mut client = proxy.client().await;
    for _ in 0..2 {
        assert!(client.send(post("/", body.clone())).await.body == body);
    }
    proxy
        .metric_becomes("tidegate_plugin_body_calls_total", 4.0)
        .await;
    assert_eq!(
        proxy
            .metric("tidegate_plugin_body_refused_total{what=\"skip\"}")
            .await,
        0.0
    );
}
