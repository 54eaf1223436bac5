//! From a request to a tunnel: what the origin and the client get to see.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::websocket::{
    ASKS, Tunnel, echo, echoing, field, read_head, switched, switching,
};
use crate::harness::{Origin, Proxy, TWO_THREADS, refusing_address, route_to, route_to_peers};

#[tokio::test]
async fn bytes_go_both_ways() {
    let origin = echoing().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    assert_eq!(tunnel.status(), "101", "{}", tunnel.head);
    assert_eq!(field(&tunnel.head, "connection"), Some("upgrade"));
    assert_eq!(field(&tunnel.head, "upgrade"), Some("websocket"));
    let accept = Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(field(&tunnel.head, "sec-websocket-accept"), accept);
    tunnel.echoes("hello").await;
    tunnel.echoes(&"x".repeat(100_000)).await;
}

#[tokio::test]
async fn the_request_is_made_anew_for_the_origin() {
    let heads = Arc::new(Mutex::new(String::new()));
    let seen = heads.clone();
    let origin = switching(move |stream, head| {
        *seen.lock().unwrap() = head;
        echo(stream)
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let asks = "host: test.example\r\nconnection: keep-alive, X-Mine, Upgrade\r\nx-mine: 1\r\n\
         keep-alive: timeout=5\r\nupgrade: websocket\r\nsec-websocket-key: a2V5\r\n\
         sec-websocket-protocol: chat\r\nx-forwarded-for: 6.6.6.6\r\nx-other: 2\r\n";
    let mut tunnel = Tunnel::ask(
        proxy.address(),
        format!("GET /a/../ws?x=1 HTTP/1.1\r\n{asks}\r\n"),
    )
    .await;
    tunnel.echoes("hello").await;
    let head = heads.lock().unwrap().clone();
    assert!(head.starts_with("GET /ws?x=1 HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("host", Some("test.example")),
        ("connection", Some("upgrade")),
        ("upgrade", Some("websocket")),
        ("sec-websocket-key", Some("a2V5")),
        ("sec-websocket-protocol", Some("chat")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-other", Some("2")),
        ("x-mine", None),
        ("keep-alive", None),
    ] {
        assert_eq!(field(&head, name), value, "{name} in {head}");
    }
}

#[tokio::test]
async fn other_protocols_are_carried_but_none_that_hides_requests() {
    let origin = echoing().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let ask = async |protocols: &str| {
        let fields = format!("host: a\r\nconnection: upgrade\r\nupgrade: {protocols}\r\n");
        Tunnel::ask(proxy.address(), format!("GET / HTTP/1.1\r\n{fields}\r\n")).await
    };
    let mut tunnel = ask("mine/1").await;
    assert_eq!(field(&tunnel.head, "upgrade"), Some("mine/1"));
    tunnel.echoes("hello").await;
    let mut tunnel = ask("h2c, mine/1").await;
    assert_eq!(field(&tunnel.head, "upgrade"), Some("mine/1"));
    tunnel.echoes("hello").await;
    // The origin is not asked, and its 101 is no answer to the request that it gets.
    for never in ["h2c", "TLS/1.0", "HTTP/2.0"] {
        assert_eq!(ask(never).await.status(), "502", "{never}");
    }
}

#[tokio::test]
async fn what_the_client_sends_with_its_request_waits_for_the_101() {
    let origin = Origin::raw(|mut stream| async move {
        let (head, with_it) = read_head(&mut stream).await.unwrap();
        // Nothing may come before the origin has agreed.
        let mut early = [0];
        let nothing = stream.try_read(&mut early).is_err() && with_it.is_empty();
        let answer = if nothing {
            switched(&head)
        } else {
            String::new()
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        echo(stream).await;
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let request = format!("GET /ws HTTP/1.1\r\n{ASKS}\r\nGET /admin HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut tunnel = Tunnel::ask(proxy.address(), request).await;
    assert_eq!(tunnel.status(), "101");
    let early = "GET /admin HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(tunnel.receive(early.len()).await, early);
    tunnel.echoes("hello").await;
}

#[tokio::test]
async fn much_that_comes_early_is_not_lost() {
    let origin = echoing().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let early = "0123456789abcdef".repeat(4096);
    let request = format!("GET /ws HTTP/1.1\r\n{ASKS}\r\n{early}");
    let mut tunnel = Tunnel::ask(proxy.address(), request).await;
    assert_eq!(tunnel.status(), "101");
    assert!(tunnel.receive(early.len()).await == early);
    tunnel.echoes("hello").await;
}

#[tokio::test]
async fn what_the_origin_sends_with_its_101_arrives() {
    let origin = Origin::raw(|mut stream| async move {
        let (head, _) = read_head(&mut stream).await.unwrap();
        let answer = switched(&head) + "greeting";
        stream.write_all(answer.as_bytes()).await.unwrap();
        echo(stream).await;
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    assert_eq!(tunnel.receive(8).await, "greeting");
    tunnel.echoes("hello").await;
}

#[tokio::test]
async fn a_peer_that_cannot_be_reached_is_passed_over() {
    let origin = echoing().await;
    let peers = format!("{:?}, {:?}", refusing_address(), origin.address());
    let proxy = Proxy::start(&route_to_peers(&peers)).await;
    for _ in 0..4 {
        let mut tunnel = Tunnel::open(proxy.address()).await;
        assert_eq!(tunnel.status(), "101");
        tunnel.echoes("hello").await;
        drop(tunnel);
    }
    let failed = r#"tidegate_upstream_attempts_total{upstream="app",result="error"}"#;
    assert_eq!(proxy.metric(failed).await, 2.0);
}

#[tokio::test]
async fn a_slow_reader_holds_the_sender_back() {
    let origin = switching(|mut stream, _| async move {
        let mut byte = [0];
        // Until it is told to, it reads nothing.
        let _ = stream.read_exact(&mut byte).await;
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = Proxy::start(&format!("{TWO_THREADS}{}", route_to(&origin))).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    let chunk = vec![b'x'; 1 << 16];
    tunnel.stream.write_all(&chunk).await.unwrap();
    proxy
        .metric_becomes("tidegate_tunnel_bytes_total", chunk.len() as f64)
        .await;
    let before = proxy.resident_bytes();
    // Buffers of the system at both ends may be some megabytes; what is beyond would be the proxy's.
    let pushed = async {
        for _ in 0..1024 {
            tunnel.stream.write_all(&chunk).await.unwrap();
        }
    };
    let stuck = tokio::time::timeout(std::time::Duration::from_secs(1), pushed).await;
    assert!(stuck.is_err(), "64 MiB were taken, which nobody has read");
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes");
}
