//! The bundled plugin `basic-auth`, as its README says, with real hashes.

use crate::harness::{Proxy, Request, get, with_header};

use super::support::{bundled, echoed, start_with};

/// `ada` and `bob`, whose password is `hunter2`, with bcrypt and argon2.
const USERS: &str = "
    'ada:$2y$04$O2ahe5wd1jQaRImuBJ9UpeyTOBuiFpDo3jviEiv3GLq0Ov3OKcwrW',
    'bob:$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQw$m8nXyMBJJ6PY3vbSfp2Jwx0UrdAAv4XrsThaGDB2jL0',
";
/// In base64.
const ADA: &str = "Basic YWRhOmh1bnRlcjI=";
const BOB: &str = "Basic Ym9iOmh1bnRlcjI=";
const ADA_WRONG: &str = "Basic YWRhOmh1bnRlcjM=";
const EVE: &str = "Basic ZXZlOmh1bnRlcjI=";

/// With users from a secret, and these keys of the plugin's configuration.
async fn proxy(keys: &str) -> Proxy {
    let config = format!(
        r#"
[plugins]
cache = "off"
deadline = "2s"

[plugin.basic-auth]
allow = {{ log = true, metrics = true, attributes = true, crypto = true, secrets = ["users"], kv = ["logins"] }}

[plugin.headers]
allow = ["attributes", "log"]

[secret.users]
command = ["printf", '%s\n', {USERS}]

[kv.logins]

[[route]]
name = "all"
respond = {{ echo = true }}

[[route.plugins]]
use = "basic-auth"

[route.plugins.config]
header = "x-user"
{keys}

[[route.plugins]]
use = "headers"
config = {{ response = [{{ set = "x-who", value = "${{basic-auth.user}}", if_absent = "skip" }}] }}
"#
    );
    let files = [
        ("basic-auth.wasm", bundled("basic-auth")),
        ("headers.wasm", bundled("headers")),
    ];
    start_with(&files, &config).await
}

fn with_credentials(credentials: &str) -> Request {
    with_header(get("/"), "authorization", credentials)
}

#[tokio::test]
async fn who_knows_the_password_passes() {
    let proxy = proxy("secret = \"users\"").await;
    for (credentials, name) in [(ADA, "ada"), (BOB, "bob")] {
        let forged = with_header(with_credentials(credentials), "x-user", "root");
        let response = proxy.send(forged).await;
        assert_eq!(response.status, 200, "{name}");
        assert_eq!(echoed(&response.json(), "x-user").as_deref(), Some(name));
        assert_eq!(response.header("x-who"), name);
    }
}

#[tokio::test]
async fn everybody_else_gets_the_same_401() {
    let proxy = proxy("secret = \"users\"\nrealm = \"shop\"").await;
    let absent = proxy.get("/").await;
    assert_eq!(absent.status, 401);
    let challenge = absent.header("www-authenticate");
    assert_eq!(challenge, "Basic realm=\"shop\", charset=\"UTF-8\"");
    for credentials in [ADA_WRONG, EVE, "Basic ***", "Bearer x"] {
        let response = proxy.send(with_credentials(credentials)).await;
        assert_eq!(response.status, 401, "{credentials}");
        assert_eq!(response.text(), absent.text());
    }
    let wrong = "tidegate_plugin_basic_auth_refused_total{reason=\"wrong\"}";
    assert_eq!(proxy.metric(wrong).await, 2.0);
    let written = proxy.written();
    assert!(
        !written.contains("hunter") && !written.contains("$2y$"),
        "{written}"
    );
}

#[tokio::test]
async fn a_cache_changes_no_answer() {
    let proxy = proxy("secret = \"users\"\ncache = { store = \"logins\", ttl = \"1m\" }").await;
    for _ in 0..3 {
        assert_eq!(proxy.send(with_credentials(ADA)).await.status, 200);
        assert_eq!(proxy.send(with_credentials(ADA_WRONG)).await.status, 401);
        assert_eq!(proxy.send(with_credentials(EVE)).await.status, 401);
    }
}

#[tokio::test]
async fn users_can_stand_in_the_configuration_and_credentials_be_stripped() {
    let proxy = proxy(&format!("users = [{USERS}]\nstrip = true")).await;
    let response = proxy.send(with_credentials(BOB)).await;
    assert_eq!(response.status, 200);
    assert_eq!(echoed(&response.json(), "authorization"), None);
}
