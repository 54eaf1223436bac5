//! A stop finishes what is in flight, within the time that it has.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{Client, ECHO, Origin, Proxy, route_to, until};

async fn refuses_connections(address: &str) {
    until("new connections to be refused", async || {
        tokio::net::TcpStream::connect(address).await.err()
    })
    .await;
}

#[tokio::test]
async fn requests_in_flight_are_finished() {
    for signal in ["-TERM", "-INT"] {
        let (origin, gate) = Origin::held().await;
        let mut proxy = Proxy::start(&route_to(&origin)).await;
        assert_eq!(proxy.admin("/readyz").await.status, 200);
        let clients = [proxy.client().await, proxy.h2_client().await];
        let waiting: Vec<_> = clients
            .into_iter()
            .map(|mut client| tokio::spawn(async move { client.get("/").await }))
            .collect();
        origin.has_seen(2).await;

        proxy.signal(signal);
        refuses_connections(proxy.address()).await;
        assert_eq!(proxy.admin("/readyz").await.status, 503);
        assert_eq!(proxy.admin("/healthz").await.status, 200);

        gate.add_permits(2);
        for request in waiting {
            assert_eq!(request.await.unwrap().text(), "late");
        }
        assert_eq!(proxy.wait().await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_body_on_its_way_is_finished() {
    let origin = Origin::echo().await;
    let mut proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello")
        .await;
    until("the request to be under way", async || {
        (origin.accepted() == 1).then_some(())
    })
    .await;
    proxy.signal("-TERM");
    refuses_connections(proxy.address()).await;
    wire.send("world").await;
    assert_eq!(wire.response().await.text(), "helloworld");
    assert!(wire.rest().await.is_empty());
    assert_eq!(proxy.wait().await.code(), Some(0));
}

#[tokio::test]
async fn idle_connections_do_not_hold_it_up() {
    let mut proxy = Proxy::start(&format!("[server]\ndrain_timeout = \"1h\"\n{ECHO}")).await;
    let mut h1 = proxy.client().await;
    let mut h2 = proxy.h2_client().await;
    assert_eq!(h1.get("/").await.status, 200);
    assert_eq!(h2.get("/").await.status, 200);
    let _silent = proxy.wire().await;
    proxy.signal("-TERM");
    assert_eq!(proxy.wait().await.code(), Some(0));
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off() {
    let (origin, _gate) = Origin::held().await;
    let config = format!("[server]\ndrain_timeout = \"300ms\"\n{}", route_to(&origin));
    let mut proxy = Proxy::start(&config).await;
    let mut client = proxy.client().await;
    let waiting = tokio::spawn(async move { client.try_send(crate::harness::get("/")).await });
    origin.has_seen(1).await;
    let start = Instant::now();
    proxy.signal("-TERM");
    assert_eq!(proxy.wait().await.code(), Some(0));
    let took = start.elapsed();
    assert!(
        (Duration::from_millis(250)..Duration::from_secs(8)).contains(&took),
        "{took:?}"
    );
    let answer = waiting.await.unwrap();
    assert!(
        !matches!(&answer, Ok(answer) if answer.status == 200),
        "{answer:?}"
    );
}

#[tokio::test]
async fn the_last_lines_of_the_logs_are_written() {
    let mut proxy = Proxy::start(ECHO).await;
    let mut client = Client::h1(proxy.address()).await;
    for turn in 0..50 {
        client.get(&format!("/{turn}")).await;
    }
    proxy.signal("-TERM");
    assert_eq!(proxy.wait().await.code(), Some(0));
    for turn in 0..50 {
        proxy.access_line(&format!("/{turn}")).await;
    }
}

#[tokio::test]
async fn a_unix_socket_is_removed() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("web.sock");
    let config = format!(
        "[[listener]]\nname = \"web\"\naddress = \"unix:{}\"\n{ECHO}",
        socket.display()
    );
    let mut proxy = Proxy::start_in(folder, &config).await;
    assert!(socket.exists());
    proxy.signal("-TERM");
    assert_eq!(proxy.wait().await.code(), Some(0));
    assert!(!socket.exists());
}
