//! A change of the file takes over as a whole, or changes nothing.

use std::net::TcpListener;

use crate::harness::{Client, Origin, Proxy, Wire, route_to, until};

/// One route that answers with this.
fn answering(body: &str) -> String {
    format!("[[route]]\nname = \"all\"\nrespond = {{ body = \"{body}\" }}\n")
}

fn listener(name: &str, address: &str) -> String {
    format!("[[listener]]\nname = {name:?}\naddress = {address:?}\n")
}

/// An address that is free now; the system does not give it to somebody else for a while.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

async fn becomes(proxy: &Proxy, body: &str) {
    until(&format!("the answer {body}"), async || {
        (proxy.get("/").await.text() == body).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_file_that_was_replaced_takes_over() {
    let proxy = Proxy::start(&answering("one")).await;
    assert_eq!(proxy.get("/").await.text(), "one");
    for body in ["two", "three"] {
        proxy.reload(&answering(body)).await;
        assert_eq!(proxy.get("/").await.text(), body);
    }
    proxy
        .metric_becomes(r#"tidegate_reloads_total{result="ok"}"#, 2.0)
        .await;
}

#[tokio::test]
async fn a_file_that_was_written_over_takes_over() {
    let proxy = Proxy::start(&answering("one")).await;
    proxy.overwrite_config(&answering("two"));
    becomes(&proxy, "two").await;
}

#[tokio::test]
async fn a_hangup_reloads() {
    let proxy = Proxy::start(&answering("one")).await;
    proxy.signal("-HUP");
    proxy.has_logged("reloaded", 1).await;
    assert_eq!(proxy.get("/").await.text(), "one");
    proxy.rewrite_config(&answering("two"));
    proxy.signal("-HUP");
    becomes(&proxy, "two").await;
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_where() {
    let proxy = Proxy::start(&answering("old")).await;
    let bad = "[[route]]\nname = \"all\"\nrepond = {}\n";
    let error = proxy.reload_refused(bad).await;
    assert!(error.contains("tidegate.toml:"), "{error}");
    assert!(error.contains("unknown key `repond`"), "{error}");
    assert!(error.contains("did you mean `respond`?"), "{error}");
    assert_eq!(proxy.get("/").await.text(), "old");
    proxy
        .metric_becomes(r#"tidegate_reloads_total{result="failed"}"#, 1.0)
        .await;
    assert_eq!(proxy.admin("/readyz").await.status, 200);
    proxy.reload(&answering("new")).await;
    assert_eq!(proxy.get("/").await.text(), "new");
}

#[tokio::test]
async fn each_kind_of_mistake_changes_nothing() {
    let proxy = Proxy::start(&answering("old")).await;
    for (bad, said) in [
        ("[[route]", "tidegate.toml:"),
        (
            "[[route]]\nupstream = \"nowhere\"",
            "unknown upstream `nowhere`",
        ),
        (
            "[[route]]\nmatch = { path = \"~(\" }\nrespond = {}",
            "regex",
        ),
        (
            "[[route]]\nplugins = [\"missing\"]\nrespond = {}",
            "missing",
        ),
    ] {
        let error = proxy.reload_refused(bad).await;
        assert!(error.contains(said), "{error}");
        assert_eq!(proxy.get("/").await.text(), "old", "{bad}");
    }
}

#[tokio::test]
async fn a_deleted_file_changes_nothing() {
    let proxy = Proxy::start(&answering("old")).await;
    std::fs::remove_file(proxy.folder().join("tidegate.toml")).unwrap();
    proxy.has_logged("reload failed", 1).await;
    assert_eq!(proxy.get("/").await.text(), "old");
    proxy.reload(&answering("new")).await;
    assert_eq!(proxy.get("/").await.text(), "new");
}

#[tokio::test]
async fn open_connections_stay_and_see_the_change() {
    let proxy = Proxy::start(&answering("one")).await;
    let mut h1 = proxy.client().await;
    let mut h2 = proxy.h2_client().await;
    assert_eq!(h1.get("/").await.text(), "one");
    assert_eq!(h2.get("/").await.text(), "one");
    proxy.reload(&answering("two")).await;
    assert_eq!(h1.get("/").await.text(), "two");
    assert_eq!(h2.get("/").await.text(), "two");
}

#[tokio::test]
async fn a_request_in_flight_ends_as_it_began() {
    let (origin, gate) = Origin::held().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.client().await;
    let waiting = tokio::spawn(async move { client.get("/").await });
    origin.has_seen(1).await;
    proxy.reload(&answering("new")).await;
    assert_eq!(proxy.get("/").await.text(), "new");
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().text(), "late");
}

#[tokio::test]
async fn no_request_fails_while_the_configuration_changes() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let address = proxy.address().to_owned();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load = tokio::spawn(async move {
        let mut kept = Client::h1(&address).await;
        let mut count = 0;
        while !*stopped.borrow() {
            assert_eq!(kept.get("/kept").await.status, 200);
            assert_eq!(Client::h1(&address).await.get("/new").await.status, 200);
            count += 2;
        }
        count
    });
    for turn in 0..10 {
        let comment = format!("# {turn}\n{}", route_to(&origin));
        proxy.reload(&comment).await;
    }
    stop.send(true).unwrap();
    let count = load.await.unwrap();
    assert!(count > 20, "{count} requests are too few to tell");
}

#[tokio::test]
async fn listeners_come_and_go() {
    let first = listener("web", "127.0.0.1:0") + &answering("one");
    let proxy = Proxy::start(&first).await;
    let address = free_address();
    let both = listener("web", "127.0.0.1:0") + &listener("more", &address) + &answering("two");
    proxy.reload(&both).await;
    assert_eq!(proxy.listener("more").await, address);
    let mut more = Client::h1(&address).await;
    assert_eq!(more.get("/").await.text(), "two");
    assert_eq!(
        proxy.get("/").await.text(),
        "two",
        "the old one has the same port"
    );

    proxy.reload(&first).await;
    until("the listener to be closed", async || {
        tokio::net::TcpStream::connect(&address).await.err()
    })
    .await;
    assert_eq!(more.get("/").await.text(), "one", "its connections go on");
    assert_eq!(proxy.get("/").await.text(), "one");
}

#[tokio::test]
async fn an_address_in_use_changes_nothing() {
    let proxy = Proxy::start(&answering("old")).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let new = listener("web", "127.0.0.1:0") + &listener("taken", &address) + &answering("new");
    let error = proxy.reload_refused(&new).await;
    assert!(
        error.contains(&address) && error.contains("in use"),
        "{error}"
    );
    assert_eq!(proxy.get("/").await.text(), "old");
    drop(taken);
    proxy.signal("-HUP");
    becomes(&proxy, "new").await;
}

#[tokio::test]
async fn limits_take_effect() {
    let proxy = Proxy::start(&answering("x")).await;
    proxy
        .reload(&format!("[limits]\nuri_bytes = 64\n{}", answering("x")))
        .await;
    let mut wire: Wire = proxy.wire().await;
    wire.send(format!(
        "GET /{} HTTP/1.1\r\nhost: a\r\n\r\n",
        "x".repeat(100)
    ))
    .await;
    assert_eq!(wire.response().await.status, 414);
}
