//! Clients that begin TLS and do not go on, in numbers: what each costs is bounded, and others are served meanwhile.

use super::{Edge, Over};
use crate::harness::{TlsClient, Wire};

/// How many at once.
const MANY: usize = 1000;

const LIMITS: &str = "
connections_per_address = 10000
handshakes = 2000
handshakes_per_address = 2000
handshake_timeout = \"2m\"
header_timeout = \"2m\"
";

const OPEN: &str = "tidegate_connections{listener=\"web\"}";

/// A proxy that has served what is usual, and what its client says first.
async fn warm() -> (Edge, TlsClient, Vec<u8>) {
    super::slow::raise_files();
    let edge = Edge::limited(Over::Tls, LIMITS).await;
    edge.is_warm().await;
    let client = edge.proxy.tls().clone();
    let hello = client.hello().await;
    (edge, client, hello)
}

impl Edge {
    /// So many connections, made one after the other and kept, cost no more than `most` bytes each.
    async fn holds<T>(&self, most: usize, open: impl AsyncFn() -> T) {
        let before = self.proxy.resident_bytes();
        let mut held = Vec::new();
        for _ in 0..MANY {
            held.push(open().await);
        }
        self.proxy.metric_becomes(OPEN, MANY as f64).await;
        self.serves_on().await;
        let each = self.proxy.resident_bytes().saturating_sub(before) / MANY;
        assert!(each < most, "{each} bytes for each connection");
        drop(held);
        self.proxy.metric_becomes(OPEN, 0.0).await;
    }

    /// A connection without TLS.
    async fn tcp(&self, bytes: &[u8]) -> Wire {
        let mut wire = Wire::connect(self.proxy.address()).await;
        wire.send(bytes).await;
        wire
    }
}

#[tokio::test]
async fn silent_clients_cost_little() {
    let (edge, _, _) = warm().await;
    edge.holds(16 << 10, async || edge.tcp(b"").await).await;
}

#[tokio::test]
async fn half_hellos_cost_little() {
    for missing in [1, 100] {
        // Of its own: what the first flood has used is there for the second.
        let (edge, _, hello) = warm().await;
        let part = &hello[..hello.len() - missing];
        edge.holds(24 << 10, async || edge.tcp(part).await).await;
    }
}

#[tokio::test]
async fn handshakes_that_are_left_open_cost_little() {
    let (edge, _, hello) = warm().await;
    edge.holds(32 << 10, async || {
        let mut wire = edge.tcp(&hello).await;
        wire.first_byte().await;
        wire
    })
    .await;
}

#[tokio::test]
async fn handshakes_that_are_given_up_leave_nothing() {
    let (edge, _, hello) = warm().await;
    let before = edge.proxy.resident_bytes();
    for _ in 0..MANY {
        edge.tcp(&hello).await.first_byte().await;
    }
    edge.proxy.metric_becomes(OPEN, 0.0).await;
    let grown = edge.proxy.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    edge.serves_on().await;
}

#[tokio::test]
async fn idle_connections_cost_little() {
    let (edge, client, _) = warm().await;
    edge.holds(24 << 10, async || {
        client.connect(edge.proxy.address()).await.unwrap()
    })
    .await;
}
