//! Probes of TCP keep-alive on connections to upstreams: a peer that is gone without a word is noticed.

use std::net::SocketAddrV4;
use std::time::Duration;

use crate::harness::websocket::{Tunnel, echoing};
use crate::harness::{Authority, Origin, Proxy, route_to, until, upstream};

/// When the next probe goes out on a connection to this address, if one does (proc_net_tcp(5)).
fn next_probe(to: &str) -> Option<Duration> {
    let to: SocketAddrV4 = to.parse().unwrap();
    let address = u32::from_ne_bytes(to.ip().octets());
    let remote = format!("{address:08X}:{:04X}", to.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        // The second kind of timer is that of keep-alive; it is counted in hundredths of a second.
        let (kind, when) = fields.get(5)?.split_once(':')?;
        let fits = fields.get(2) == Some(&remote.as_str()) && kind == "02";
        let hundredths = fits.then(|| u64::from_str_radix(when, 16).unwrap())?;
        Some(Duration::from_millis(hundredths * 10))
    })
}

async fn is_probed(origin: &Origin) {
    let next = until("a timer of keep-alive", async || {
        next_probe(origin.address())
    })
    .await;
    let minute = Duration::from_secs(30)..=Duration::from_secs(61);
    assert!(minute.contains(&next), "{next:?}");
}

#[tokio::test]
async fn ordinary_connections_are_probed() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    assert_eq!(proxy.get("/").await.status, 200);
    is_probed(&origin).await;
}

#[tokio::test]
async fn connections_with_tls_are_probed() {
    let authority = Authority::new();
    let origin = Origin::answering_tls(&authority, |_| http::Response::default()).await;
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let keys = format!(
        "peers = [{:?}]\ntls = {{ ca = \"ca.pem\" }}",
        origin.address()
    );
    let proxy = Proxy::start_in(folder, &upstream(&keys)).await;
    assert_eq!(proxy.get("/").await.status, 200);
    is_probed(&origin).await;
}

#[tokio::test]
async fn tunnels_are_probed() {
    let origin = echoing().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut tunnel = Tunnel::open(proxy.address()).await;
    tunnel.echoes("hello").await;
    is_probed(&origin).await;
}
