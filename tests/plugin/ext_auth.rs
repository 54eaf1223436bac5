//! The bundled plugin `ext-auth`, as its README says, with a server that is asked.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use crate::harness::{Origin, Proxy, Request, get, post, refusing_address, with_header};

use super::support::{bundled, echoed, start_with};

/// A server that lets in who says `Bearer ada`.
async fn server() -> Origin {
    Origin::answering(|seen| {
        let answer = Response::builder();
        if seen.header("authorization") == "Bearer ada" {
            let answer = answer
                .header("x-user", "ada")
                .header("set-cookie", "seen=1");
            return answer.body(Full::default()).unwrap();
        }
        answer
            .status(401)
            .header("www-authenticate", "Bearer realm=\"auth\"")
            .header("x-internal", "secret")
            .body(Full::new(Bytes::from_static(b"who are you?\n")))
            .unwrap()
    })
    .await
}

/// A proxy that asks the server at this address, with these keys of the plugin's configuration.
async fn proxy(server: &str, keys: &str) -> Proxy {
    let config = format!(
        r#"
[plugins]
cache = "off"
deadline = "2s"

[plugin.ext-auth]
allow = {{ log = true, metrics = true, attributes = true, kv = ["answers"], http = [
    {{ origin = "http://{server}", private = true }},
] }}

[kv.answers]

[[route]]
name = "all"
respond = {{ echo = true }}

[[route.plugins]]
use = "ext-auth"

[route.plugins.config]
url = "http://{server}/check?from=proxy"
copy_to_request = ["x-user"]
copy_to_response = ["set-cookie"]
{keys}
"#
    );
    start_with(&[("ext-auth.wasm", bundled("ext-auth"))], &config).await
}

fn ada(request: Request) -> Request {
    with_header(request, "authorization", "Bearer ada")
}

#[tokio::test]
async fn an_allowed_request_passes_with_what_the_server_says() {
    let server = server().await;
    let proxy = proxy(server.address(), "").await;
    let forged = with_header(ada(get("/a/b?c=d")), "x-user", "root");
    let response = proxy
        .send(with_header(forged, "x-original-uri", "/public"))
        .await;
    assert_eq!(response.status, 200);
    assert_eq!(echoed(&response.json(), "x-user").as_deref(), Some("ada"));
    assert_eq!(response.header("set-cookie"), "seen=1");

    let seen = &server.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("GET", "/check?from=proxy")
    );
    assert_eq!(seen.header("x-original-method"), "GET");
    assert_eq!(seen.header("x-original-uri"), "/a/b?c=d");
    assert_eq!(seen.header("x-forwarded-host"), "test.example");
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.header("host"), server.address());
}

#[tokio::test]
async fn a_denied_request_gets_the_servers_answer() {
    let server = server().await;
    let proxy = proxy(server.address(), "").await;
    let forged = with_header(get("/"), "x-user", "root");
    let response = proxy.send(forged).await;
    assert_eq!(response.status, 401);
    assert_eq!(response.header("www-authenticate"), "Bearer realm=\"auth\"");
    assert_eq!(response.header("x-internal"), "");
    assert_eq!(response.text(), "who are you?\n");
    let denied = "tidegate_plugin_ext_auth_decisions_total{decision=\"denied\"}";
    assert_eq!(proxy.metric(denied).await, 1.0);
}

#[tokio::test]
async fn a_redirect_can_be_a_denial() {
    let server = Origin::answering(|_| {
        let answer = Response::builder().status(302);
        let answer = answer.header("location", "https://login.example/");
        answer.body(Full::default()).unwrap()
    })
    .await;
    let undecided = proxy(server.address(), "").await;
    assert_eq!(undecided.get("/").await.status, 503);
    let proxy = proxy(server.address(), "deny = [302]").await;
    let response = proxy.get("/").await;
    assert_eq!(response.status, 302);
    assert_eq!(response.header("location"), "https://login.example/");
}

#[tokio::test]
async fn without_an_answer_nobody_gets_in() {
    let gone = proxy(&refusing_address(), "").await;
    assert_eq!(gone.send(ada(get("/"))).await.status, 503);
    let (held, _gate) = Origin::held().await;
    let late = proxy(held.address(), "timeout = \"50ms\"").await;
    assert_eq!(late.send(ada(get("/"))).await.status, 503);
    let failed = "tidegate_plugin_ext_auth_decisions_total{decision=\"failed\"}";
    assert_eq!(late.metric(failed).await, 1.0);
}

#[tokio::test]
async fn the_same_question_is_asked_once() {
    let server = server().await;
    let proxy = proxy(
        server.address(),
        "cache = { store = \"answers\", ttl = \"1m\" }",
    )
    .await;
    for _ in 0..3 {
        let response = proxy.send(ada(get("/"))).await;
        assert_eq!(response.status, 200);
        assert_eq!(echoed(&response.json(), "x-user").as_deref(), Some("ada"));
        assert_eq!(response.header("set-cookie"), "seen=1");
    }
    assert_eq!(server.seen().len(), 1);
    assert_eq!(proxy.get("/").await.status, 401);
    assert_eq!(proxy.get("/").await.status, 401);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_body_is_sent_where_that_is_wanted() {
    let server = server().await;
    let proxy = proxy(server.address(), "method = \"POST\"\nsend_body = \"1KiB\"").await;
    let response = proxy.send(ada(post("/", "hello"))).await;
    assert_eq!(response.status, 200);
    assert_eq!(echoed(&response.json(), "x-user").as_deref(), Some("ada"));
    assert_eq!(server.seen()[0].body, "hello");
    assert_eq!(proxy.send(post("/", "hello")).await.status, 401);
    assert_eq!(proxy.get("/").await.status, 401);
    assert_eq!(
        proxy.send(ada(post("/", vec![b'x'; 2048]))).await.status,
        413
    );
    assert_eq!(server.seen().len(), 3);
}
