//! The address for operators.

use tempfile::TempDir;

use crate::harness::{Client, ECHO, Proxy, Wire, metric, request, tidegate, until};

#[tokio::test]
async fn health_and_readiness() {
    let proxy = Proxy::start(ECHO).await;
    assert_eq!(proxy.admin("/healthz").await.status, 200);
    assert_eq!(proxy.admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn what_does_not_exist_is_answered_with_what_does() {
    let proxy = Proxy::start(ECHO).await;
    let response = proxy.admin("/nothing").await;
    assert_eq!(response.status, 404);
    assert!(response.text().contains("/metrics"), "{}", response.text());
    let address = proxy.admin_address();
    let posted = Client::h1(address)
        .await
        .send(request("POST", "/healthz", ""))
        .await;
    assert_eq!((posted.status, posted.header("allow")), (405, "GET, HEAD"));
}

#[tokio::test]
async fn the_list_of_plugins_is_json() {
    let proxy = Proxy::start(ECHO).await;
    let response = proxy.admin("/plugins").await;
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.json()["plugins"], serde_json::json!([]));
}

#[tokio::test]
async fn clients_do_not_reach_it() {
    let proxy = Proxy::start("[[route]]\nmatch = { path = \"/x\" }\nrespond = {}").await;
    for path in ["/metrics", "/healthz", "/plugins"] {
        assert_eq!(proxy.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn it_can_be_a_unix_socket() {
    let folder = TempDir::new().unwrap();
    let address = format!("unix:{}", folder.path().join("admin.sock").display());
    let config = format!("[admin]\naddress = \"{address}\"\n{ECHO}");
    let proxy = Proxy::start_in(folder, &config).await;
    assert_eq!(proxy.admin_address(), address);
    assert_eq!(proxy.admin("/readyz").await.status, 200);
    let list = tidegate(&["plugin", "list", "--admin", &address]);
    assert_eq!(list.status.code(), Some(0), "{}", list.stderr);
    assert!(list.stdout.starts_with("NAME"), "{}", list.stdout);
}

const REFUSED: &str = "tidegate_admin_connections_refused_total";

#[tokio::test]
async fn its_connections_are_bounded() {
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\nconnections = 2\nheader_timeout = \"1h\"";
    let proxy = Proxy::start(&format!("{admin}\n{ECHO}")).await;
    let one = Client::h1(proxy.admin_address()).await;
    let mut other = Client::h1(proxy.admin_address()).await;
    assert_eq!(other.get("/healthz").await.status, 200);
    let mut third = Wire::connect(proxy.admin_address()).await;
    assert!(third.rest().await.is_empty());
    drop(one);
    let series = format!("{REFUSED}{{reason=\"connections\"}}");
    let answer = other.get("/metrics").await;
    assert_eq!(metric(answer.text(), &series), Some(1.0));
    until("the place of the first", async || {
        let mut wire = Wire::connect(proxy.admin_address()).await;
        wire.try_send("GET /healthz HTTP/1.0\r\n\r\n").await;
        wire.rest().await.starts_with(b"HTTP/1.0 200").then_some(())
    })
    .await;
}

#[tokio::test]
async fn its_clients_have_to_ask_in_time() {
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\nheader_timeout = \"200ms\"";
    let proxy = Proxy::start(&format!("{admin}\n{ECHO}")).await;
    let mut slow = Wire::connect(proxy.admin_address()).await;
    slow.send("GET /healthz HTTP/1.1\r\nhost: ").await;
    slow.rest().await;
    let series = format!("{REFUSED}{{reason=\"header-timeout\"}}");
    proxy.metric_becomes(&series, 1.0).await;
}

#[tokio::test]
async fn it_can_be_off() {
    let proxy = Proxy::start(&format!("[admin]\naddress = \"off\"\n{ECHO}")).await;
    assert_eq!(proxy.admin_address(), "");
    assert_eq!(proxy.get("/").await.status, 200);
}
