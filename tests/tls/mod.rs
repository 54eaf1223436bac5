//! TLS with clients.

mod certificates;
mod client_certificates;
mod diagnosis;
mod files;
mod handshake;
mod hello;
mod http;
mod listeners;
mod names;
mod ocsp;
mod tickets;

use crate::harness::{Authority, ECHO, Proxy};
use tempfile::TempDir;

/// A listener with these keys in `[listener.tls]`, and a route that echoes.
fn listener(keys: &str) -> String {
    format!(
        "
[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
[listener.tls]
{keys}
{ECHO}"
    )
}

/// The certificate `a.pem` and nothing else.
const ONE: &str = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]";

/// A proxy for `a.example`, `b.example` and `127.0.0.1`, with these keys in `[listener.tls]` beside its
/// certificate, and its authority in `ca.pem`.
async fn proxy(authority: &Authority, keys: &str) -> Proxy {
    let folder = TempDir::new().unwrap();
    let names = ["a.example", "b.example", "127.0.0.1"];
    authority.issue(&names).write(folder.path(), "a");
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    Proxy::start_in(folder, &listener(&format!("{ONE}\n{keys}"))).await
}

/// The series of refused connections.
fn refused(reason: &str) -> String {
    format!("tidegate_connections_refused_total{{reason=\"{reason}\"}}")
}
