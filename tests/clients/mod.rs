//! Programs with which people reach the proxy, over TLS with its default settings where a test does not say
//! otherwise. Each file says at its head what its program is the witness for. Clients of gRPC are in
//! `http/grpc.rs`, of WebSockets in `tunnel/websocket.rs`.

mod chromium;
mod curl;
mod curl_tls;
mod h2load;
mod openssl;
mod testssl;

use tempfile::TempDir;

use crate::harness::{Authority, Proxy};

/// What the proxy's certificate is for.
const NAMES: [&str; 4] = ["app.example", "www.app.example", "localhost", "127.0.0.1"];

/// A proxy with TLS for [`NAMES`], with these keys of its listener (`tls.…` for those of TLS), this configuration
/// beside it, and its authority in `ca.pem`.
async fn proxy(authority: &Authority, keys: &str, rest: &str) -> Proxy {
    let folder = TempDir::new().unwrap();
    authority.issue(&NAMES).write(folder.path(), "own");
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    Proxy::start_in(folder, &format!("{}{rest}", listener(keys))).await
}

/// The listener of [`proxy`].
fn listener(keys: &str) -> String {
    format!(
        "
[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
tls.certificates = [{{ cert = \"own.pem\", key = \"own.key\" }}]
{keys}
"
    )
}
