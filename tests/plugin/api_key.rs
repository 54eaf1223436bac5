//! The bundled plugin `api-key`, as its README says.

use crate::harness::{Proxy, Request, get, with_header};

use super::support::{bundled, echoed, start_with};

/// The SHA-256 of `alice`, and of `bob`.
const ALICE: &str = "sha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";
const BOB: &str = "sha256:81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9";

/// The keys, and `headers` behind it, which shows the attributes.
async fn proxy(keys: &str) -> Proxy {
    let config = format!(
        r#"
[[route]]
name = "all"
respond = {{ echo = true }}

[[route.plugins]]
use = "api-key"

[route.plugins.config]
keys = [
    {{ id = "alice", hash = "{ALICE}", attributes = {{ plan = "gold", seats = 3, admin = true }} }},
    {{ id = "bob", hash = "{BOB}", not_after = "2020-12-31" }},
]
{keys}

[[route.plugins]]
use = "headers"
config = {{
    request = [{{ set = "x-who", value = "${{api-key.id}} ${{api-key.plan}} ${{api-key.seats}} ${{api-key.admin}}", if_absent = "skip" }}],
    response = [{{ set = "x-who", value = "${{api-key.id}}" }}],
}}
"#
    );
    let files = [
        ("api-key.wasm", bundled("api-key")),
        ("headers.wasm", bundled("headers")),
    ];
    start_with(&files, &config).await
}

fn with_key(key: &str) -> Request {
    with_header(get("/"), "x-api-key", key)
}

#[tokio::test]
async fn a_known_key_passes_and_later_plugins_know_whose_it_is() {
    let proxy = proxy("").await;
    let response = proxy.send(with_key("alice")).await;
    assert_eq!(response.status, 200);
    let who = echoed(&response.json(), "x-who");
    assert_eq!(who.as_deref(), Some("alice gold 3 true"));
    assert_eq!(response.header("x-who"), "alice");
}

#[tokio::test]
async fn everybody_else_gets_the_same_401() {
    let proxy = proxy("").await;
    let absent = proxy.get("/").await;
    assert_eq!(absent.status, 401);
    assert!(absent.header("www-authenticate").contains("realm=\"api\""));
    let unknown = proxy.send(with_key("mallory")).await;
    let expired = proxy.send(with_key("bob")).await;
    for response in [&unknown, &expired] {
        assert_eq!(response.status, 401);
        assert_eq!(response.text(), unknown.text());
    }
    let refused = "tidegate_plugin_api_key_refused_total";
    assert_eq!(proxy.metric(refused).await, 3.0);
    // The keys themselves are nowhere.
    let written = proxy.written();
    assert!(
        !written.contains("mallory") && !written.contains("x-api-key"),
        "{written}"
    );
}

#[tokio::test]
async fn two_keys_are_a_bad_request() {
    let proxy = proxy("sources = [\"header:x-api-key\", \"bearer\"]").await;
    let twice = with_header(with_key("alice"), "x-api-key", "alice");
    assert_eq!(proxy.send(twice).await.status, 400);
    let both = with_header(with_key("alice"), "authorization", "Bearer alice");
    assert_eq!(proxy.send(both).await.status, 400);
}

#[tokio::test]
async fn a_key_can_come_from_elsewhere() {
    let proxy = proxy("sources = [\"bearer\", \"query:key\"]").await;
    let bearer = with_header(get("/"), "authorization", "Bearer alice");
    assert_eq!(proxy.send(bearer).await.status, 200);
    assert_eq!(proxy.get("/?a=b&key=alice").await.status, 200);
    assert_eq!(proxy.get("/?key=eve").await.status, 401);
    assert_eq!(proxy.send(with_key("alice")).await.status, 401);
}

#[tokio::test]
async fn a_stripped_key_does_not_go_on() {
    let kept = proxy("").await.send(with_key("alice")).await;
    assert_eq!(echoed(&kept.json(), "x-api-key").as_deref(), Some("alice"));
    let stripped = proxy("strip = true").await.send(with_key("alice")).await;
    assert_eq!(stripped.status, 200);
    assert_eq!(echoed(&stripped.json(), "x-api-key"), None);
}

#[tokio::test]
async fn a_client_cannot_bring_its_own_attributes() {
    let proxy = proxy("").await;
    let forged = with_header(with_key("alice"), "x-who", "root");
    let response = proxy.send(forged).await;
    let who = echoed(&response.json(), "x-who");
    assert_eq!(who.as_deref(), Some("alice gold 3 true"));
}

#[tokio::test]
async fn an_auth_plugin_that_fails_lets_nobody_in() {
    let config = format!(
        "
[[route]]
name = \"all\"
plugins = [\"trap\", {{ use = \"api-key\", config = {{ keys = [{{ id = \"alice\", hash = \"{ALICE}\" }}] }} }}]
respond = {{ echo = true }}
"
    );
    let files = [
        ("api-key.wasm", bundled("api-key")),
        ("trap.wasm", super::support::guest("trap")),
    ];
    let proxy = start_with(&files, &config).await;
    let request = || with_header(get("/"), "x-trap", "request");
    assert_eq!(proxy.send(request()).await.status, 503);
    let with_key = with_header(request(), "x-api-key", "alice");
    assert_eq!(proxy.send(with_key).await.status, 503);
    assert_eq!(proxy.get("/").await.status, 401);
}
