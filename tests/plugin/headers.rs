//! The bundled plugin `headers`, as its README says.

use http::HeaderValue;

use crate::harness::{Origin, Proxy, get, with_header};

use super::support::{bundled, start_with};

/// A route to an origin with this configuration of the plugin.
async fn proxy(origin: &Origin, config: &str) -> Proxy {
    let config = format!(
        "
[[route]]
name = \"all\"
plugins = [{{ use = \"headers\", config = {{ {config} }} }}]
upstream = \"app\"

[upstream.app]
peers = [{:?}]
",
        origin.address()
    );
    start_with(&[("headers.wasm", bundled("headers"))], &config).await
}

/// An origin whose responses have some fields too many.
async fn talkative() -> Origin {
    Origin::answering(|_| {
        http::Response::builder()
            .header("server", "secret/1.0")
            .header("x-debug-sql", "select")
            .header("x-trace-id", "1")
            .header("x-kept", "yes")
            .body(bytes::Bytes::from_static(b"body").into())
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn the_example_of_its_readme_works() {
    let origin = talkative().await;
    let config = r#"
        request = [
            { set = "x-id", value = "${request.id}" },
            { append = "x-addresses", value = "${client.address}" },
            { remove = "x-internal-*" },
        ],
        response = [
            { set = "strict-transport-security", value = "max-age=63072000" },
            { remove = "server" },
            { remove = "~^x-(debug|trace)-" },
        ]"#;
    let proxy = proxy(&origin, config).await;
    let request = with_header(get("/a?b=c"), "x-internal-user", "root");
    let request = with_header(request, "X-Internal-Role", "admin");
    let request = with_header(request, "x-addresses", "before");
    let response = proxy.send(with_header(request, "x-other", "stays")).await;
    let seen = origin.seen().remove(0);
    assert_eq!(seen.header("x-id"), seen.header("x-request-id"));
    assert!(!seen.header("x-id").is_empty());
    assert_eq!(seen.header("x-addresses"), "before, 127.0.0.1");
    assert_eq!(seen.header("x-internal-user"), "");
    assert_eq!(seen.header("x-internal-role"), "");
    assert_eq!(seen.header("x-other"), "stays");
    assert_eq!(response.text(), "body");
    assert_eq!(
        response.header("strict-transport-security"),
        "max-age=63072000"
    );
    for gone in ["server", "x-debug-sql", "x-trace-id"] {
        assert_eq!(response.header(gone), "", "{gone}");
    }
    assert_eq!(response.header("x-kept"), "yes");
}

#[tokio::test]
async fn every_reference_has_its_value() {
    let origin = talkative().await;
    let config = r#"
        request = [{ set = "x-all", value = "${request.method} ${request.scheme} ${request.host} ${request.path} ${request.query} ${request.header.x-in} ${client.address} ${route} $$" }],
        response = [{ set = "x-all", value = "${response.status} ${response.header.x-kept} ${request.method}" }]"#;
    let proxy = proxy(&origin, config).await;
    let request = with_header(get("/a//b?c=d"), "x-in", "one");
    let response = proxy.send(with_header(request, "x-in", "two")).await;
    assert_eq!(
        origin.seen()[0].header("x-all"),
        "GET http test.example /a/b c=d one, two 127.0.0.1 all $"
    );
    assert_eq!(response.header("x-all"), "200 yes GET");
}

#[tokio::test]
async fn what_is_absent_is_empty_or_skips_the_rule() {
    let origin = talkative().await;
    let config = r#"request = [
        { set = "x-empty", value = "<${request.header.x-none}>" },
        { set = "x-skipped", value = "<${request.header.x-none}>", if_absent = "skip" },
    ]"#;
    let proxy = proxy(&origin, config).await;
    proxy.get("/").await;
    let seen = origin.seen().remove(0);
    assert_eq!(seen.header("x-empty"), "<>");
    assert!(!seen.headers.contains_key("x-skipped"));
}

#[tokio::test]
async fn values_are_bytes() {
    let origin = talkative().await;
    let config = r#"request = [{ set = "x-out", value = "<${request.header.x-in}>" }]"#;
    let proxy = proxy(&origin, config).await;
    let mut request = get("/");
    let value = HeaderValue::from_bytes(b"caf\xe9").unwrap();
    request.headers_mut().insert("x-in", value);
    assert_eq!(proxy.send(request).await.status, 200);
    assert_eq!(origin.seen()[0].headers["x-out"].as_bytes(), b"<caf\xe9>");
}

#[tokio::test]
async fn a_pattern_leaves_the_frame_alone() {
    let origin = talkative().await;
    let proxy = proxy(
        &origin,
        r#"request = [{ remove = "*" }], response = [{ remove = "*" }]"#,
    )
    .await;
    let response = proxy.send(with_header(get("/"), "x-a", "1")).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.text(), "body");
    assert_eq!(response.header("content-length"), "4");
    let seen = origin.seen().remove(0);
    assert_eq!(seen.header("host"), "test.example");
    assert_eq!(seen.header("x-a"), "");
}

/// So many groups within each other.
fn nested(groups: usize) -> String {
    let (open, close) = ("(".repeat(groups), ")".repeat(groups));
    format!("{{ remove = \"~^{open}x-debug-sql{close}$\" }}")
}

#[tokio::test]
async fn a_pattern_may_be_nested() {
    let origin = talkative().await;
    let proxy = proxy(&origin, &format!("response = [{}]", nested(20))).await;
    let response = proxy.get("/").await;
    assert_eq!(response.header("x-debug-sql"), "");
    assert_eq!(response.header("x-kept"), "yes");
}

#[tokio::test]
async fn a_mistake_has_its_place() {
    let origin = talkative().await;
    let proxy = proxy(&origin, r#"request = [{ set = "x-a", value = "a" }]"#).await;
    let file = std::fs::read_to_string(proxy.folder().join("tidegate.toml")).unwrap();
    for (bad, place) in [
        (
            r#"{ set = "content-length", value = "1" }"#,
            "set = \"content-length\"",
        ),
        (r#"{ set = "x a", value = "1" }"#, "set = \"x a\""),
        (
            r#"{ set = "x-a", value = "${nothing" }"#,
            "value = \"${nothing\"",
        ),
        (r#"{ remove = "~(" }"#, "remove = \"~(\""),
        (&nested(100), "remove = \"~^"),
    ] {
        let changed = file.replace(r#"{ set = "x-a", value = "a" }"#, bad);
        let error = proxy.reload_refused(&changed).await;
        let (line, text) = (1..)
            .zip(changed.lines())
            .find(|(_, text)| text.contains(place))
            .unwrap();
        let column = text.find(place).unwrap() + 1;
        let place = format!("tidegate.toml:{line}:{column}");
        assert!(error.contains(&place), "{bad}: {place} in {error}");
    }
}
