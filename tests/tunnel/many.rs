//! Many upgrades to an origin that answers at once: none is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;

use crate::harness::websocket::{ASKS, Tunnel, echo, read_head, switched};
use crate::harness::{Origin, Proxy};

use super::limited;

const UPGRADES: usize = 10_000;
const AT_ONCE: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_upgrades_without_a_loss() {
    let origin = Origin::raw(|mut stream| async move {
        let Ok((head, _)) = read_head(&mut stream).await else {
            return;
        };
        // In one packet, as fast origins do.
        let answer = switched(&head) + "greeting";
        if stream.write_all(answer.as_bytes()).await.is_ok() {
            echo(stream).await;
        }
    })
    .await;
    let proxy = Proxy::start(&limited(&origin, "connections_per_address = 5000")).await;
    let next = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (address, next) = (proxy.address().to_owned(), next.clone());
            tokio::spawn(async move {
                let mut lost = Vec::new();
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= UPGRADES {
                        return lost;
                    }
                    if let Err(problem) = exchange(&address, turn).await {
                        lost.push(problem);
                    }
                }
            })
        })
        .collect();
    let mut lost = Vec::new();
    for client in clients {
        lost.extend(client.await.unwrap());
    }
    assert!(
        lost.is_empty(),
        "{} were lost: {:?}",
        lost.len(),
        lost.first()
    );
    proxy
        .metric_becomes(r#"tidegate_tunnels{route="all"}"#, 0.0)
        .await;
    let opened = r#"tidegate_requests_total{route="all",status="1xx"}"#;
    proxy.metric_becomes(opened, UPGRADES as f64).await;
}

/// Opens a tunnel, every other time with data in the packet of the request, and sees an echo come back.
async fn exchange(proxy: &str, turn: usize) -> Result<(), String> {
    let early = if turn.is_multiple_of(2) { "early" } else { "" };
    let request = format!("GET /ws HTTP/1.1\r\n{ASKS}\r\n{early}");
    let opened = Tunnel::try_ask(proxy, request.as_bytes()).await;
    let mut tunnel = opened.map_err(|error| error.to_string())?;
    if tunnel.status() != "101" {
        return Err(tunnel.head);
    }
    let sent = tunnel.stream.write_all(b"late").await;
    sent.map_err(|error| error.to_string())?;
    let wanted = format!("greeting{early}late");
    let came = tunnel.try_receive(wanted.len()).await;
    let came = came.map_err(|error| format!("{error} after the 101"))?;
    if came != wanted.as_bytes() {
        return Err(format!("{came:?}"));
    }
    tunnel.finish().await;
    match tunnel.rest().await {
        Ok(rest) if rest.is_empty() => Ok(()),
        other => Err(format!("{other:?} at the end")),
    }
}
