//! The bundled plugin `security-headers`, as its README says.

use crate::harness::{Origin, Proxy, refusing_address};

use super::support::{bundled, start_with};

/// A route to a peer with this configuration of the plugin.
async fn proxy(peer: &str, config: &str) -> Proxy {
    let config = format!(
        "
[[route]]
name = \"all\"
plugins = [{{ use = \"security-headers\", config = {{ {config} }} }}]
upstream = \"app\"

[upstream.app]
peers = [{peer:?}]
"
    );
    let files = [("security-headers.wasm", bundled("security-headers"))];
    start_with(&files, &config).await
}

/// An origin that says what it is, and has a policy of its own.
async fn talkative() -> Origin {
    Origin::answering(|_| {
        http::Response::builder()
            .header("server", "secret/1.0")
            .header("x-powered-by", "secret/2.0")
            .header("referrer-policy", "origin")
            .body(bytes::Bytes::from_static(b"body").into())
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn a_preset_protects_every_response() {
    let origin = talkative().await;
    let proxy = proxy(origin.address(), "preset = \"strict\"").await;
    for response in [proxy.get("/").await, proxy.h2_client().await.get("/").await] {
        assert_eq!(response.text(), "body");
        assert_eq!(response.header("x-frame-options"), "DENY");
        assert_eq!(response.header("x-content-type-options"), "nosniff");
        assert_eq!(response.header("cross-origin-opener-policy"), "same-origin");
        assert!(
            response
                .header("content-security-policy")
                .contains("frame-ancestors 'none'")
        );
        assert_ne!(response.header("server"), "secret/1.0");
        assert_eq!(response.header("x-powered-by"), "");
        // The origin's own stays, and HTTP has no say in HTTPS.
        assert_eq!(response.header("referrer-policy"), "origin");
        assert_eq!(response.header("strict-transport-security"), "");
    }
}

#[tokio::test]
async fn the_proxys_own_errors_are_protected() {
    let proxy = proxy(&refusing_address(), "preset = \"compatible\"").await;
    let response = proxy.get("/").await;
    assert_eq!(response.status, 502);
    assert_eq!(response.header("x-content-type-options"), "nosniff");
    assert_eq!(response.header("x-frame-options"), "SAMEORIGIN");
}

#[tokio::test]
async fn the_upstream_can_be_overridden() {
    let origin = talkative().await;
    let config = r#"
        preset = "compatible",
        override = true,
        omit = ["x-frame-options"],
        hsts = { max_age = "365d", subdomains = true, force = true }"#;
    let proxy = proxy(origin.address(), config).await;
    let response = proxy.get("/").await;
    assert_eq!(
        response.header("referrer-policy"),
        "strict-origin-when-cross-origin"
    );
    assert_eq!(response.header("x-frame-options"), "");
    assert_eq!(
        response.header("strict-transport-security"),
        "max-age=31536000; includeSubDomains"
    );
}

#[tokio::test]
async fn a_policy_that_browsers_would_ignore_is_a_mistake() {
    let config = "content_security_policy = \"default-src 'self'\"";
    let proxy = proxy(&refusing_address(), config).await;
    let file = std::fs::read_to_string(proxy.folder().join("tidegate.toml")).unwrap();
    let error = proxy
        .reload_refused(&file.replace("default-src", "defualt-src"))
        .await;
    assert!(
        error.contains("`defualt-src` is not a directive"),
        "{error}"
    );
}
