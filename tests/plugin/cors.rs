//! The bundled plugin `cors`, as its README says.

use crate::harness::{Origin, Proxy, Request, get, request, with_header};

use super::support::{bundled, start_with};

const CONFIG: &str = r#"
    origins = ["https://app.example", "https://*.app.example"],
    methods = ["GET", "PUT"],
    headers = ["x-token"],
    expose = ["x-total"],
    credentials = true,
    max_age = "10m""#;

/// A route to an origin with this configuration of the plugin.
async fn proxy(origin: &Origin, config: &str) -> Proxy {
    let config = format!(
        "
[[route]]
name = \"all\"
plugins = [{{ use = \"cors\", config = {{ {config} }} }}]
upstream = \"app\"

[upstream.app]
peers = [{:?}]
",
        origin.address()
    );
    start_with(&[("cors.wasm", bundled("cors"))], &config).await
}

/// An origin that says too much about CORS.
async fn generous() -> Origin {
    Origin::answering(|_| {
        http::Response::builder()
            .header("access-control-allow-origin", "*")
            .header("access-control-allow-methods", "DELETE")
            .header("vary", "accept-encoding")
            .body(bytes::Bytes::from_static(b"body").into())
            .unwrap()
    })
    .await
}

fn preflight(origin: &str) -> Request {
    let preflight = with_header(request("OPTIONS", "/", ""), "origin", origin);
    with_header(preflight, "access-control-request-method", "PUT")
}

#[tokio::test]
async fn a_preflight_is_answered_without_the_upstream() {
    let origin = generous().await;
    let proxy = proxy(&origin, CONFIG).await;
    let mut client = proxy.client().await;
    let response = client.send(preflight("https://x.app.example")).await;
    assert_eq!(response.status, 204);
    assert_eq!(
        response.header("access-control-allow-origin"),
        "https://x.app.example"
    );
    assert_eq!(response.header("access-control-allow-methods"), "GET, PUT");
    assert_eq!(response.header("access-control-allow-headers"), "x-token");
    assert_eq!(response.header("access-control-allow-credentials"), "true");
    assert_eq!(response.header("access-control-max-age"), "600");
    assert!(response.header("vary").starts_with("origin"));
    // On the same connection: the 204 had no body.
    let evil = client.send(preflight("https://evil.example")).await;
    assert_eq!(evil.status, 204);
    assert_eq!(evil.header("access-control-allow-origin"), "");
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn a_stranger_can_be_refused() {
    let origin = generous().await;
    let proxy = proxy(
        &origin,
        r#"origins = ["https://app.example"], disallowed = "refuse""#,
    )
    .await;
    let evil = proxy.send(preflight("https://evil.example")).await;
    assert_eq!(evil.status, 403);
    assert_eq!(evil.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn other_requests_reach_the_upstream_and_its_fields_are_replaced() {
    let origin = generous().await;
    let proxy = proxy(&origin, CONFIG).await;
    let from = |site| with_header(get("/"), "origin", site);
    for (request, allowed) in [
        (from("https://app.example"), "https://app.example"),
        (from("https://evil.example"), ""),
        (get("/"), ""),
        (request("OPTIONS", "/", ""), ""),
    ] {
        let response = proxy.send(request).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.text(), "body");
        assert_eq!(response.header("access-control-allow-origin"), allowed);
        assert_eq!(response.header("access-control-allow-methods"), "");
        let vary: Vec<_> = response.headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["accept-encoding", "origin"]);
    }
    assert_eq!(origin.seen().len(), 4);
}

#[tokio::test]
async fn a_script_can_read_why_the_proxy_failed() {
    let config = format!(
        "
[[route]]
name = \"all\"
plugins = [{{ use = \"cors\", config = {{ {CONFIG} }} }}]
upstream = \"app\"

[upstream.app]
peers = [{:?}]
",
        crate::harness::refusing_address()
    );
    let proxy = start_with(&[("cors.wasm", bundled("cors"))], &config).await;
    let request = with_header(get("/"), "origin", "https://app.example");
    let response = proxy.send(request).await;
    assert_eq!(response.status, 502);
    assert_eq!(
        response.header("access-control-allow-origin"),
        "https://app.example"
    );
}

#[tokio::test]
async fn everybody_with_credentials_is_a_mistake() {
    let origin = generous().await;
    let proxy = proxy(&origin, r#"origins = ["*"]"#).await;
    let file = std::fs::read_to_string(proxy.folder().join("tidegate.toml")).unwrap();
    let changed = file.replace(
        r#"origins = ["*"]"#,
        r#"origins = ["*"], credentials = true"#,
    );
    let error = proxy.reload_refused(&changed).await;
    assert!(error.contains("any site could act for the user"), "{error}");
}
