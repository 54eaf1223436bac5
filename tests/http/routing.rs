//! Which route gets a request. The rules themselves are tested where they are; here, that the proxy
//! asks them with the right values.

use crate::harness::{Origin, Proxy, get, request, with_header};

const ROUTES: &str = r#"
[[route]]
name = "any"
respond = { body = "any" }

[[route]]
name = "prefix"
match = { path = "/v1/*" }
respond = { body = "prefix" }

[[route]]
name = "exact"
match = { path = "/v1/users" }
respond = { body = "exact" }

[[route]]
name = "post"
match = { path = "/v1/users", methods = ["POST"] }
respond = { body = "post" }

[[route]]
name = "regex"
match = { path = '~^/v\d/photos$' }
respond = { body = "regex" }

[[route]]
name = "header"
match = { path = "/beta", headers = { x-beta = "1" } }
respond = { body = "header" }

[[route]]
name = "query"
match = { path = "/beta", query = { version = "~^2" } }
respond = { body = "query" }

[[route]]
name = "host"
match = { host = "api.example.com" }
respond = { body = "host" }

[[route]]
name = "wildcard"
match = { host = "*.example.com", path = "/v1/*" }
respond = { body = "wildcard" }
"#;

#[tokio::test]
async fn the_most_specific_route_answers() {
    let proxy = Proxy::start(ROUTES).await;
    let on = |host, path| with_header(get(path), "host", host);
    let cases = [
        (get("/"), "any"),
        (get("/v1"), "prefix"),
        (get("/v1/x"), "prefix"),
        (get("/v10"), "any"),
        (get("/v1/users"), "exact"),
        (get("/v1/users?a=b"), "exact"),
        (request("POST", "/v1/users", ""), "post"),
        (get("/v2/photos"), "regex"),
        (get("/beta"), "any"),
        (with_header(get("/beta"), "x-beta", "1"), "header"),
        (with_header(get("/beta"), "x-beta", "2"), "any"),
        (get("/beta?version=2.1"), "query"),
        (get("/beta?version=1"), "any"),
        (on("API.Example.com:8080", "/v1/users"), "host"),
        (on("www.example.com", "/v1/x"), "wildcard"),
        (on("www.example.com", "/x"), "any"),
        (on("example.com", "/v1/x"), "prefix"),
    ];
    for mut client in [proxy.client().await, proxy.h2_client().await] {
        for (request, wanted) in &cases {
            let what = format!(
                "{} {} {:?}",
                request.method(),
                request.uri(),
                request.headers()
            );
            assert_eq!(client.send(copy(request)).await.text(), *wanted, "{what}");
        }
    }
}

#[tokio::test]
async fn paths_lead_to_upstreams() {
    let (app, api) = (Origin::echo().await, Origin::echo().await);
    let config = format!(
        r#"
[upstream.app]
peers = [{:?}]

[upstream.api]
peers = [{:?}]

[[route]]
upstream = "app"

[[route]]
match = {{ path = "/api/*" }}
upstream = "api"
"#,
        app.address(),
        api.address()
    );
    let proxy = Proxy::start(&config).await;
    for path in ["/x", "/api/x"] {
        assert_eq!(proxy.get(path).await.status, 200);
    }
    for (origin, path) in [(&app, "/x"), (&api, "/api/x")] {
        let seen = origin.seen();
        assert_eq!(seen.len(), 1, "{path}");
        assert_eq!(seen[0].target, path);
    }
}

#[tokio::test]
async fn a_request_without_a_route_is_not_found() {
    let proxy = Proxy::start("[[route]]\nmatch = { path = \"/x\" }\nrespond = {}").await;
    let mut client = proxy.client().await;
    for _ in 0..2 {
        let response = client.get("/y").await;
        assert_eq!(response.status, 404);
        assert!((1..200).contains(&response.body.len()), "{response:?}");
    }
    assert_eq!(client.get("/x").await.status, 200, "the connection goes on");
    let line = proxy.access_line("/y").await;
    assert_eq!(line.field("status").as_deref(), Some("404"));
}

/// The body of these requests is empty.
fn copy(request: &crate::harness::Request) -> crate::harness::Request {
    let mut copy = get(&request.uri().to_string());
    *copy.method_mut() = request.method().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
