//! Plugins and tunnels: they see both heads, and nothing of what goes through.

use std::sync::{Arc, Mutex};

use crate::harness::Origin;
use crate::harness::websocket::{ASKS, Tunnel, echo, field, switching};
use crate::plugin::support::{bundled, peer, route_through, start_with};

/// An origin that echoes, and the head that it saw last.
async fn observed() -> (Origin, Arc<Mutex<String>>) {
    let heads = Arc::new(Mutex::new(String::new()));
    let seen = heads.clone();
    let origin = switching(move |stream, head| {
        *seen.lock().unwrap() = head;
        echo(stream)
    });
    (origin.await, heads)
}

#[tokio::test]
async fn a_plugin_edits_both_heads() {
    let (origin, heads) = observed().await;
    let edits = r#"[{ use = "headers", config = {
        request = [{ set = "x-in", value = "1" }, { remove = "sec-websocket-protocol" }],
        response = [{ set = "x-out", value = "2" }],
    } }]"#
        .replace('\n', " ");
    let config = route_through(&edits, &peer(&origin));
    let proxy = start_with(&[("headers.wasm", bundled("headers"))], &config).await;
    let request = format!("GET /ws HTTP/1.1\r\n{ASKS}sec-websocket-protocol: chat\r\n\r\n");
    let mut tunnel = Tunnel::ask(proxy.address(), request).await;
    assert_eq!(tunnel.status(), "101");
    assert_eq!(field(&tunnel.head, "x-out"), Some("2"));
    tunnel.echoes("hello").await;
    let head = heads.lock().unwrap().clone();
    assert_eq!(field(&head, "x-in"), Some("1"));
    assert_eq!(field(&head, "sec-websocket-protocol"), None);
}

#[tokio::test]
async fn a_plugin_refuses_an_upgrade() {
    let (origin, heads) = observed().await;
    let keys = "sha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";
    let guard = format!(
        "[{{ use = \"api-key\", config = {{ keys = [{{ id = \"a\", hash = {keys:?} }}] }} }}]"
    );
    let config = route_through(&guard, &peer(&origin));
    let proxy = start_with(&[("api-key.wasm", bundled("api-key"))], &config).await;
    assert_eq!(Tunnel::open(proxy.address()).await.status(), "401");
    assert_eq!(*heads.lock().unwrap(), "");
    assert_eq!(proxy.metric("tidegate_tunnels").await, 0.0);
    // Whoever has the key gets through, in either form.
    let request = format!("GET /ws HTTP/1.1\r\n{ASKS}x-api-key: alice\r\n\r\n");
    let mut tunnel = Tunnel::ask(proxy.address(), request).await;
    tunnel.echoes("hello").await;
}

/// As in `http/hop_by_hop.rs`: a client that names a plugin's field as one of its connection.
#[tokio::test]
async fn what_a_plugin_says_cannot_be_taken_away() {
    let (origin, heads) = observed().await;
    let edits =
        r#"[{ use = "headers", config = { request = [{ set = "x-user", value = "alice" }] } }]"#;
    let config = route_through(edits, &peer(&origin));
    let proxy = start_with(&[("headers.wasm", bundled("headers"))], &config).await;
    let fields = "host: a\r\nconnection: upgrade, x-user, x-mine\r\nupgrade: websocket\r\n\
         x-user: mallory\r\nx-mine: 1\r\n";
    let mut tunnel =
        Tunnel::ask(proxy.address(), format!("GET /ws HTTP/1.1\r\n{fields}\r\n")).await;
    tunnel.echoes("hello").await;
    let head = heads.lock().unwrap().clone();
    assert_eq!(field(&head, "x-user"), Some("alice"));
    assert_eq!(field(&head, "x-mine"), None);
}
