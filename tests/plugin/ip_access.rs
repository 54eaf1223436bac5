//! The bundled plugin `ip-access`, as its README says.

use crate::harness::{Proxy, Wire, get, with_header};

use super::support::{bundled, start_with};

/// Two trusted hops in front, and these keys of the plugin.
async fn proxy(keys: &str) -> Proxy {
    let config = format!(
        "
[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
trusted_proxies = [\"127.0.0.1\", \"10.9.0.0/16\"]

[[route]]
name = \"all\"
plugins = [{{ use = \"ip-access\", config = {{ {keys} }} }}]
respond = {{ body = \"in\" }}
"
    );
    start_with(&[("ip-access.wasm", bundled("ip-access"))], &config).await
}

async fn status(proxy: &Proxy, forwarded: &str) -> u16 {
    let request = with_header(get("/"), "x-forwarded-for", forwarded);
    proxy.send(request).await.status
}

#[tokio::test]
async fn the_lists_decide() {
    let proxy =
        proxy("allow = [\"10.0.0.0/8\", \"2001:db8::/32\"], deny = [\"10.66.0.0/16\"]").await;
    for (client, expected) in [
        ("10.1.2.3", 200),
        ("2001:db8::1", 200),
        ("10.66.0.1", 403),
        ("192.0.2.1", 403),
        ("2001:db9::1", 403),
        ("::ffff:10.1.2.3", 200),
        ("::ffff:10.66.0.1", 403),
    ] {
        assert_eq!(status(&proxy, client).await, expected, "{client}");
    }
    let denied = "tidegate_plugin_ip_access_denied_total";
    assert_eq!(proxy.metric(denied).await, 4.0);
}

#[tokio::test]
async fn a_forged_address_does_not_help() {
    let proxy = proxy("allow = [\"10.0.0.0/8\"]").await;
    // The last address that no trusted proxy vouches for is the client; what is before it is talk.
    assert_eq!(status(&proxy, "10.1.2.3, 192.0.2.1").await, 403);
    assert_eq!(status(&proxy, "192.0.2.1, 10.1.2.3").await, 200);
    assert_eq!(status(&proxy, "10.1.2.3, 10.9.0.1").await, 200);
    // From an address that is not trusted, the field says nothing.
    let mut wire = Wire::connect_from([127, 0, 0, 2].into(), proxy.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 10.1.2.3\r\n\r\n")
        .await;
    assert_eq!(wire.response().await.status, 403);
}

#[tokio::test]
async fn the_peer_can_be_asked_for_instead() {
    let proxy = proxy("allow = [\"127.0.0.0/8\"], address = \"peer\"").await;
    assert_eq!(status(&proxy, "192.0.2.1").await, 200);
}

#[tokio::test]
async fn the_answer_is_configurable() {
    let proxy = proxy("deny = [\"0.0.0.0/0\"], status = 404, body = \"not found\\n\"").await;
    let response = proxy.get("/").await;
    assert_eq!(response.status, 404);
    assert_eq!(response.text(), "not found\n");
}
