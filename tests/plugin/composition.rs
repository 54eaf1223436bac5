//! Several plugins on one route: who comes when, who sees what, and who is not called at all.

use bytes::Bytes;
use http::HeaderValue;

use crate::harness::{Origin, get, request, route_to, with_header};

use super::support::{echo_route, echoed, start};

/// Three uses of one plugin, with configurations of their own, and one that may answer in between.
const THREE: &str = r#"[
    { use = "order", config = { name = "a" } },
    { use = "order", config = { name = "b" } },
    "liar",
    { use = "order", config = { name = "c" } },
]"#;

fn all(response: &crate::harness::Response, field: &str) -> Vec<String> {
    let values = response.headers.get_all(field).iter();
    values
        .map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn requests_go_in_order_and_responses_in_reverse() {
    let proxy = start(&["order", "liar"], &echo_route("all", "/*", THREE)).await;
    let response = proxy.get("/").await;
    assert_eq!(
        echoed(&response.json(), "x-order").as_deref(),
        Some("a, b, c")
    );
    assert_eq!(all(&response, "x-order"), ["c", "b", "a"]);
}

#[tokio::test]
async fn a_reply_passes_the_plugins_before_it() {
    let proxy = start(&["order", "liar"], &echo_route("all", "/*", THREE)).await;
    let response = proxy.send(with_header(get("/"), "x-lie", "edits")).await;
    assert_eq!(response.status, 200);
    assert_eq!(all(&response, "x-order"), ["b", "a"]);
    let access = proxy.access_line("/").await;
    assert!(access.field("plugins").unwrap().contains("liar:respond"));
}

#[tokio::test]
async fn a_failure_passes_the_plugins_before_it() {
    let proxy = start(&["order", "liar"], &echo_route("all", "/*", THREE)).await;
    let response = proxy.send(with_header(get("/"), "x-lie", "fail")).await;
    assert_eq!(response.status, 503);
    assert_eq!(all(&response, "x-order"), ["b", "a"]);
}

#[tokio::test]
async fn answers_of_the_proxy_itself_pass_the_response_phase() {
    let refusing = crate::harness::refusing_address();
    let config = format!(
        "
[[route]]
name = \"redirect\"
match = {{ path = \"/redirect\" }}
plugins = [{{ use = \"order\", config = {{ name = \"a\" }} }}]
redirect = {{ to = \"/\" }}

[[route]]
name = \"down\"
match = {{ path = \"/down\" }}
plugins = [{{ use = \"order\", config = {{ name = \"a\" }} }}]
upstream = \"app\"

[upstream.app]
peers = [{refusing:?}]
"
    );
    let proxy = start(&["order"], &config).await;
    for (path, status) in [("/redirect", 308), ("/down", 502)] {
        let response = proxy.get(path).await;
        assert_eq!(response.status, status, "{path}");
        assert_eq!(all(&response, "x-order"), ["a"], "{path}");
    }
}

#[tokio::test]
async fn values_that_are_not_text_pass_unchanged() {
    let origin = Origin::answering(|seen| {
        let value = seen.headers["x-in"].clone();
        http::Response::builder()
            .header("x-back", value)
            .body(Bytes::new().into())
            .unwrap()
    })
    .await;
    let route =
        route_to(&origin).replace("name = \"all\"", "name = \"all\"\nplugins = [\"bytes\"]");
    let proxy = start(&["bytes"], &route).await;
    for bytes in [&b"caf\xe9"[..], b"\xff\xfe\x80", b"\xc3\x28", b"tab\there"] {
        let value = HeaderValue::from_bytes(bytes).unwrap();
        let mut request = get("/");
        request.headers_mut().insert("x-in", value.clone());
        let response = proxy.send(request).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.headers["x-back"], value);
        assert_eq!(response.headers["x-out"], value);
        assert_eq!(origin.seen().last().unwrap().headers["x-out"], value);
    }
}

#[tokio::test]
async fn a_plugin_is_not_called_for_what_it_is_not_interested_in() {
    let plugins = r#"[{ use = "interest", config = {
        methods = ["GET", "PUT"], paths = ["/in/*", "/exact"], headers = ["x-one", "x-two"] } }]"#;
    let proxy = start(&["interest"], &echo_route("all", "/*", plugins)).await;
    let cases = [
        ("GET", "/in/side", Some("x-one"), true),
        ("PUT", "/exact", Some("x-two"), true),
        ("POST", "/in/side", Some("x-one"), false),
        ("GET", "/out", Some("x-one"), false),
        ("GET", "/exact/not", Some("x-one"), false),
        ("GET", "/in/side", Some("x-three"), false),
        ("GET", "/in/side", None, false),
    ];
    for (method, path, field, called) in cases {
        let mut request = request(method, path, "");
        if let Some(field) = field {
            request = with_header(request, field, "1");
        }
        let response = proxy.send(request).await;
        let (marked, seen) = (
            response.header("x-seen"),
            echoed(&response.json(), "x-seen"),
        );
        let expected = if called {
            ("response", Some("request"))
        } else {
            ("", None)
        };
        assert_eq!(
            (marked, seen.as_deref()),
            expected,
            "{method} {path} {field:?}"
        );
    }
    for phase in ["requests", "responses"] {
        let series = format!("tidegate_plugin_interest_{phase}_total");
        assert_eq!(proxy.metric(&series).await, 2.0);
    }
    let skips = r#"tidegate_plugin_skips_total{plugin="interest"}"#;
    assert_eq!(proxy.metric(skips).await, 5.0);
}

#[tokio::test]
async fn interests_are_checked_after_the_edits_of_earlier_plugins() {
    // `order` adds the field that `interest` waits for.
    let plugins = r#"[
        { use = "order", config = { name = "a" } },
        { use = "interest", config = { headers = ["x-order"] } },
    ]"#;
    let proxy = start(&["order", "interest"], &echo_route("all", "/*", plugins)).await;
    assert_eq!(proxy.get("/").await.header("x-seen"), "response");
}

#[tokio::test]
async fn an_interest_that_is_none_is_an_error_in_the_configuration() {
    let plugins = r#"[{ use = "interest", config = { paths = ["no-slash"] } }]"#;
    let good = echo_route("all", "/*", "[\"interest\"]");
    let proxy = start(&["interest"], &good).await;
    let bad = super::support::uncached(&echo_route("all", "/*", plugins));
    let error = proxy.reload_refused(&bad).await;
    assert!(error.contains("no-slash"), "{error}");
}
