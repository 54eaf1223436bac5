//! Several plugins with bodies of their own on one route; replies and failures while a body passes, and
//! what is too late for them.

use bytes::Bytes;
use http_body_util::Full;

use crate::harness::{Origin, Proxy, post, streamed};

use super::support::{peer, route_through, start};

/// A use of the guest `body` with this configuration.
fn body(config: &str) -> String {
    format!("{{ use = \"body\", config = {{ {config} }} }}")
}

/// A proxy with these uses of the guest `body` in front of an origin, with keys for `[plugin.body]`.
async fn chain(uses: &[String], origin: &Origin, keys: &str) -> Proxy {
    let plugins = format!("[{}]", uses.join(", "));
    let route = route_through(&plugins, &peer(origin));
    start(&["body"], &format!("{route}\n[plugin.body]\n{keys}\n")).await
}

#[tokio::test]
async fn plugins_of_different_modes_see_what_the_one_before_let_pass() {
    let origin = Origin::echo().await;
    let modes = ["streaming", "buffer", "peek"];
    let use_of = |name: &str, mode: &str, action: &str| {
        let watch = format!(
            "{{ mode = \"{mode}\", size = 100, action = \"{action}\", text = \"{name}\" }}"
        );
        body(&format!("request = {watch}, response = {watch}"))
    };
    let mut config = format!("[upstream.app]\n{}\n", peer(&origin));
    let mut paths = Vec::new();
    for first in modes {
        for second in modes {
            for third in modes {
                let uses = [
                    use_of("a", first, "append"),
                    use_of("b", second, "upper"),
                    use_of("c", third, "append"),
                ];
                let path = format!("/{first}/{second}/{third}");
                config += &format!(
                    "[[route]]\nmatch = {{ path = {path:?} }}\nplugins = [{}]\nupstream = \"app\"\n",
                    uses.join(", ")
                );
                paths.push(path);
            }
        }
    }
    let proxy = start(&["body"], &config).await;
    for mut client in [proxy.client().await, proxy.h2_client().await] {
        for path in &paths {
            let response = client.send(post(path, "hello-")).await;
            // Forward, a is appended and put in upper case, then c; backward it is c, upper case, a.
            assert_eq!(origin.seen().pop().unwrap().body, "HELLO-Ac", "{path}");
            assert_eq!(response.text(), "HELLO-ACCa", "{path}");
        }
    }
}

#[tokio::test]
async fn one_that_waits_holds_the_head_for_those_before_and_after_it() {
    let origin = Origin::echo().await;
    let watch = |mode: &str| format!("request = {{ mode = \"{mode}\", size = 100 }}");
    let uses = [
        body(&format!("name = \"a\", {}", watch("streaming"))),
        body(&format!("name = \"b\", {}", watch("buffer"))),
        body(&format!("name = \"c\", {}", watch("peek"))),
    ];
    let proxy = chain(&uses, &origin, "").await;
    let response = proxy.send(post("/", "hello")).await;
    assert_eq!(response.text(), "hello");
    let seen = origin.seen().pop().unwrap();
    assert_eq!(seen.header("x-request-body"), "a=5, b=5, c=5");
    assert_eq!(
        seen.header("content-length"),
        "5",
        "all is known before it is sent"
    );
}

#[tokio::test]
async fn a_reply_from_a_request_body_keeps_it_from_the_origin() {
    let origin = Origin::echo().await;
    for mode in ["buffer", "peek", "streaming"] {
        let refuse = format!(
            "request = {{ mode = \"{mode}\", size = 100, action = \"respond\", text = \"not this\" }}"
        );
        // The plugin before it sees the reply, the one after it does not see the request.
        let shout = "response = { mode = \"buffer\", size = 100, action = \"upper\" }";
        let drop = "response = { mode = \"buffer\", size = 100, action = \"drop\" }";
        let uses = [body(shout), body(&refuse), body(drop)];
        let proxy = chain(&uses, &origin, "").await;
        for request in [
            post("/", "hello"),
            streamed("/", vec![Bytes::from("hello")]),
        ] {
            let response = proxy.send(request).await;
            assert_eq!(
                (response.status, response.text()),
                (403, "NOT THIS"),
                "{mode}"
            );
            assert_eq!(response.header("content-length"), "8", "{mode}");
        }
        let response = proxy.h2_client().await.send(post("/", "hello")).await;
        assert_eq!(
            (response.status, response.text()),
            (403, "NOT THIS"),
            "{mode}, HTTP/2"
        );
    }
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn a_reply_in_the_middle_of_a_stream_ends_the_upload() {
    let origin = Origin::echo().await;
    let refuse =
        r#"request = { mode = "streaming", after = 200000, action = "respond", text = "enough" }"#;
    let proxy = chain(&[body(refuse)], &origin, "").await;
    let pieces = vec![Bytes::from(vec![b'x'; 50_000]); 4];
    let response = proxy.send(streamed("/", pieces)).await;
    assert_eq!((response.status, response.text()), (403, "enough"));
    assert_eq!(origin.seen().len(), 0, "the origin saw a part, and no end");
    proxy
        .metric_becomes("tidegate_plugin_body_refused_total{what=\"reply\"}", 0.0)
        .await;
}

#[tokio::test]
async fn a_reply_from_a_buffered_response_body_takes_its_place() {
    let origin = Origin::answering(|_| {
        let response = http::Response::builder().header("x-origin", "1");
        response.body(Full::from("secret")).unwrap()
    })
    .await;
    for mode in ["buffer", "peek"] {
        let refuse = format!(
            "response = {{ mode = \"{mode}\", size = 100, action = \"respond\", text = \"not this\" }}"
        );
        let shout = "response = { mode = \"buffer\", size = 100, action = \"upper\" }";
        let proxy = chain(&[body(shout), body(&refuse)], &origin, "").await;
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            let response = client.get("/").await;
            assert_eq!(
                (response.status, response.text()),
                (403, "NOT THIS"),
                "{mode}"
            );
            assert_eq!(response.header("x-origin"), "", "{mode}");
            assert_eq!(response.header("content-length"), "8", "{mode}");
        }
        // One that the proxy makes itself, likewise.
        let plugins = format!("[{}, {}]", body(shout), body(&refuse));
        let fixed = format!("[[route]]\nplugins = {plugins}\nrespond = {{ body = \"secret\" }}");
        let proxy = start(&["body"], &fixed).await;
        let response = proxy.get("/").await;
        assert_eq!(
            (response.status, response.text()),
            (403, "NOT THIS"),
            "{mode}, fixed"
        );
    }
}

#[tokio::test]
async fn a_reply_without_a_body_ends_like_any_other() {
    let origin = Origin::echo().await;
    for direction in ["request", "response"] {
        let refuse =
            format!("{direction} = {{ mode = \"buffer\", size = 100, action = \"respond\" }}");
        let proxy = chain(&[body(&refuse)], &origin, "").await;
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            let response = client.try_send(post("/", "hello")).await;
            let response = response.unwrap_or_else(|error| panic!("{direction}: {error:?}"));
            assert_eq!((response.status, response.text()), (403, ""), "{direction}");
        }
    }
}

#[tokio::test]
async fn a_failure_at_a_body_that_waits_is_a_503_or_passes() {
    let origin = Origin::echo().await;
    for (direction, action) in [
        ("request", "fail"),
        ("request", "trap"),
        ("response", "fail"),
        ("response", "trap"),
    ] {
        for mode in ["buffer", "peek"] {
            let what = format!("{direction} {action} {mode}");
            let watch =
                format!("{direction} = {{ mode = \"{mode}\", size = 100, action = \"{action}\" }}");
            let closed = chain(&[body(&watch)], &origin, "on_failure = \"closed\"").await;
            let response = closed.send(post("/", "hello")).await;
            assert_eq!(response.status, 503, "{what}");
            assert!(!response.text().contains("hello"), "{what}");
            let open = chain(&[body(&watch)], &origin, "on_failure = \"open\"").await;
            let mut client = open.client().await;
            for _ in 0..2 {
                let response = client.send(post("/", "hello")).await;
                assert_eq!((response.status, response.text()), (200, "hello"), "{what}");
                assert_eq!(response.header("content-length"), "5", "{what}");
                assert_eq!(response.header("x-response-body"), "", "{what}: undone");
            }
            let seen = origin.seen().pop().unwrap();
            assert_eq!(seen.header("x-request-body"), "", "{what}: undone");
        }
    }
}

#[tokio::test]
async fn a_failure_in_a_streamed_request_is_a_503_or_the_rest_passes() {
    let pieces = || vec![Bytes::from(vec![b'x'; 50_000]); 4];
    for action in ["fail", "trap"] {
        let origin = Origin::echo().await;
        let watch =
            format!("request = {{ mode = \"streaming\", after = 100000, action = \"{action}\" }}");
        let closed = chain(&[body(&watch)], &origin, "on_failure = \"closed\"").await;
        assert_eq!(
            closed.send(streamed("/", pieces())).await.status,
            503,
            "{action}"
        );
        assert_eq!(
            origin.seen().len(),
            0,
            "{action}: a part is not taken for the whole"
        );
        let open = chain(&[body(&watch)], &origin, "on_failure = \"open\"").await;
        let response = open.send(streamed("/", pieces())).await;
        assert_eq!(
            (response.status, response.body.len()),
            (200, 200_000),
            "{action}"
        );
        open.metric_becomes("tidegate_plugin_body_calls_total{end=\"true\"}", 0.0)
            .await;
    }
}

#[tokio::test]
async fn a_failure_in_a_streamed_response_cuts_it_or_the_rest_passes() {
    let large = vec![b'x'; 200_000];
    let origin = Origin::answering(move |_| http::Response::new(Full::from(large.clone()))).await;
    for action in ["fail", "trap"] {
        let watch =
            format!("response = {{ mode = \"streaming\", after = 100000, action = \"{action}\" }}");
        let closed = chain(&[body(&watch)], &origin, "on_failure = \"closed\"").await;
        for mut client in [closed.client().await, closed.h2_client().await] {
            let cut = client.try_send(crate::harness::get("/")).await;
            assert!(
                cut.is_err(),
                "{action}: a part looks like the whole: {cut:?}"
            );
        }
        let mut old = closed.wire().await;
        old.send("GET / HTTP/1.0\r\n\r\n").await;
        assert!(old.rest().await.len() < 200_000, "{action}");
        let open = chain(&[body(&watch)], &origin, "on_failure = \"open\"").await;
        for mut client in [open.client().await, open.h2_client().await] {
            for _ in 0..2 {
                let response = client.get("/").await;
                assert_eq!(
                    (response.status, response.body.len()),
                    (200, 200_000),
                    "{action}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_is_too_late_is_a_wrong_phase() {
    let origin = Origin::echo().await;
    let watch = r#"response = { mode = "streaming", action = "respond", text = "late" }, request = { mode = "streaming" }"#;
    let proxy = chain(&[body(watch)], &origin, "").await;
    let response = proxy.send(post("/", "hello")).await;
    assert_eq!((response.status, response.text()), (200, "hello"));
    for (direction, what) in [
        ("response", "reply"),
        ("response", "edit"),
        ("request", "edit"),
    ] {
        let refused = format!(
            "tidegate_plugin_body_refused_total{{direction=\"{direction}\",what=\"{what}\",error=\"wrong-phase\"}}"
        );
        assert!(proxy.metric(&refused).await > 0.0, "{refused}");
    }
}
