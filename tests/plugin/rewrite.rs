//! The bundled plugin `rewrite`, as its README says.

use crate::harness::{Origin, Proxy, get, post, with_header};

use super::support::{bundled, start_with};

/// A route to an origin with these rules.
async fn proxy(origin: &Origin, rules: &str) -> Proxy {
    let config = format!(
        "
[[route]]
name = \"all\"
upstream = \"app\"

[[route.plugins]]
use = \"rewrite\"

[route.plugins.config]
rules = [{rules}]

[upstream.app]
peers = [{:?}]
",
        origin.address()
    );
    start_with(&[("rewrite.wasm", bundled("rewrite"))], &config).await
}

/// The rules of the README.
const RULES: &str = r#"
    { match = { host = "example.com" }, redirect = 308, location = "https://www.example.com${request.path}?${request.query}" },
    { match = { path = "^/old/(?<page>.*)$" }, redirect = 301, location = "/new/${page}" },
    { strip_prefix = "/api", add_prefix = "/v2" },
    { match = { path = "^/users/(\\d+)$" }, path = "/user", set_query = { id = "$1" } },
    { remove_query = ["utm_*"] },
"#;

#[tokio::test]
async fn the_upstream_gets_the_new_target() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin, RULES).await;
    for (asked, forwarded) in [
        ("/", "/"),
        ("/api/a%20b/?x=1&utm_source=y", "/v2/a%20b/?x=1"),
        ("/apis", "/apis"),
        ("/users/7?utm_medium=z", "/user?id=7"),
        ("/users/7?a=%C3%A9&id=8", "/user?a=%C3%A9&id=7"),
    ] {
        assert_eq!(proxy.get(asked).await.status, 200, "{asked}");
        let seen = origin.seen().pop().unwrap();
        assert_eq!(seen.target, forwarded, "{asked}");
        assert_eq!(seen.header("host"), "test.example");
    }
}

#[tokio::test]
async fn a_redirect_does_not_reach_the_upstream() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin, RULES).await;
    let moved = proxy.get("/old/a/b?c").await;
    assert_eq!((moved.status, moved.header("location")), (301, "/new/a/b"));
    let www = with_header(post("/cart?x=1", "body"), "host", "example.com");
    let www = proxy.send(www).await;
    assert_eq!(www.status, 308);
    assert_eq!(www.header("location"), "https://www.example.com/cart?x=1");
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn the_upstream_gets_another_host() {
    let origin = Origin::echo().await;
    let proxy = proxy(
        &origin,
        r#"{ host = "app.internal:8080", add_query = { from = "${request.host}" } }"#,
    )
    .await;
    proxy.get("/a").await;
    let seen = origin.seen().remove(0);
    assert_eq!(seen.header("host"), "app.internal:8080");
    assert_eq!(seen.target, "/a?from=test.example");
}

#[tokio::test]
async fn it_is_the_same_over_http_2() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin, RULES).await;
    let mut client = proxy.h2_client().await;
    assert_eq!(client.get("/api/x").await.status, 200);
    assert_eq!(origin.seen()[0].target, "/v2/x");
    assert_eq!(client.get("/old/x").await.header("location"), "/new/x");
}

#[tokio::test]
async fn a_client_cannot_inject() {
    let origin = Origin::echo().await;
    let rules = r#"
        { match = { path = "^/go(.*)$" }, redirect = 302, location = "https://example.com$1" },
        { match = { path = "^/f/(.+)x$" }, path = "/files/$1", query = "name=$1" },
    "#;
    let proxy = proxy(&origin, rules).await;
    for path in [
        "/go.evil.example",
        "/go@evil.example",
        "/go%0d%0aset-cookie:%20a=b",
        "/go//evil.example",
    ] {
        let response = proxy.send(get(path)).await;
        assert_eq!(response.status, 302);
        let location = response.header("location");
        assert!(location.starts_with("https://example.com/"), "{location}");
        assert!(!response.headers.contains_key("set-cookie"));
    }
    proxy.get("/f/..x").await;
    proxy.get("/f/a&b=c%26d%3Fx").await;
    let targets: Vec<_> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(
        targets,
        ["/?name=..", "/files/a&b=c%26d%3F?name=a%26b%3Dc%26d%3F"]
    );
}

#[tokio::test]
async fn a_mistake_has_its_place() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin, RULES).await;
    let file = std::fs::read_to_string(proxy.folder().join("tidegate.toml")).unwrap();
    let changed = file.replace("/new/${page}", "/new/${pag}");
    let error = proxy.reload_refused(&changed).await;
    assert!(error.contains("has no group `pag`"), "{error}");
    assert!(error.contains("tidegate.toml:"), "{error}");
}
