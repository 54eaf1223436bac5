//! Where the proxy listens, and what kinds of addresses upstreams have.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::harness::{Client, ECHO, Origin, Proxy, route_to};

#[tokio::test]
async fn a_unix_socket_is_served_with_its_permissions() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("web.sock");
    let config = format!(
        "[[listener]]\nname = \"web\"\naddress = \"unix:{}\"\nmode = \"0600\"\n{ECHO}",
        socket.display()
    );
    let proxy = Proxy::start_in(folder, &config).await;
    assert_eq!(proxy.address(), format!("unix:{}", socket.display()));
    assert_eq!(proxy.get("/x").await.json()["path"], "/x");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_unix_socket_is_an_upstream() {
    let folder = TempDir::new().unwrap();
    let origin = Origin::echo_on_unix_socket(&folder.path().join("app.sock"));
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/x").await.status, 200);
    }
    assert_eq!(origin.seen()[0].target, "/x");
    assert_eq!(origin.accepted(), 1, "kept as a TCP connection is");
}

#[tokio::test]
async fn ipv6_is_served() {
    let config = format!("[[listener]]\nname = \"web\"\naddress = \"[::1]:0\"\n{ECHO}");
    let proxy = Proxy::start(&config).await;
    assert!(proxy.address().starts_with("[::1]:"));
    let echo = proxy.get("/").await.json();
    assert_eq!(echo["headers"]["x-forwarded-for"][0], "::1");
}

#[tokio::test]
async fn several_listeners_serve_the_same_routes() {
    let config = format!(
        "
[[listener]]
name = \"one\"
address = \"127.0.0.1:0\"

[[listener]]
name = \"two\"
address = \"127.0.0.1:0\"
{ECHO}"
    );
    let proxy = Proxy::start(&config).await;
    for name in ["one", "two"] {
        let address = proxy.listener(name).await;
        assert_eq!(Client::h1(&address).await.get("/x").await.status, 200);
        proxy
            .metric_becomes(
                &format!("tidegate_connections_total{{listener=\"{name}\"}}"),
                1.0,
            )
            .await;
    }
}
