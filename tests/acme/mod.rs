//! Certificates from an authority that speaks ACME: a real one (Pebble) and a real DNS server (named), with
//! the authority's own connections to the proxy.

mod definitions;
mod failures;
mod front;
mod issue;
mod names;
mod on_demand;
mod renewal_info;
mod store;
mod trouble;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::harness::{ECHO, Named, Pebble, PebbleSettings, Proxy, free_port, run, tool, until};

/// An authority, a DNS server whose names all lead to a proxy, and the ports of that proxy.
struct Edge {
    pebble: Pebble,
    named: Named,
    http_port: u16,
    tls_port: u16,
    /// The store of the proxy, and what outlives it.
    folder: TempDir,
}

impl Edge {
    /// `None`, with a line that says so, where a program is not installed.
    async fn new() -> Option<Edge> {
        Edge::with(|settings| settings).await
    }

    /// With another behaviour of the authority.
    async fn with(change: impl FnOnce(PebbleSettings) -> PebbleSettings) -> Option<Edge> {
        tool("openssl")?;
        tool("curl")?;
        let named = Named::start().await?;
        let (http_port, tls_port) = (free_port(), free_port());
        let settings = change(PebbleSettings::new(&named, http_port, tls_port));
        Some(Edge {
            pebble: Pebble::start(settings).await?,
            named,
            http_port,
            tls_port,
            folder: TempDir::new().unwrap(),
        })
    }

    /// The configuration of a proxy with these keys of its authority `ca`.
    fn configuration(&self, keys: &str) -> String {
        self.configuration_at(&self.pebble.directory(), keys)
    }

    /// As [`Edge::configuration`], with the authority's directory at this URL.
    fn configuration_at(&self, directory: &str, keys: &str) -> String {
        format!(
            r#"
[[listener]]
name = "web"
address = "127.0.0.1:{http}"
https_redirect = true

[[listener]]
name = "tls"
address = "127.0.0.1:{tls}"
[listener.tls]
acme = ["ca"]

[acme.ca]
directory = "{directory}"
ca = "{ca}"
agree_to_terms = true
store = "{store}"
retry = "100ms"
retry_max = "200ms"
{keys}
{ECHO}"#,
            http = self.http_port,
            tls = self.tls_port,
            ca = self.pebble.ca().display(),
            store = self.store().display(),
        )
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("acme")
    }

    /// A running proxy with these keys of its authority.
    async fn proxy(&self, keys: &str) -> Proxy {
        Proxy::start(&self.configuration(keys)).await
    }

    /// A file with who vouches for what the authority issues, until it is started again.
    fn root(&self) -> PathBuf {
        let file = self.folder.path().join("root.pem");
        std::fs::write(&file, self.pebble.root().unwrap()).unwrap();
        file
    }

    /// What a client sees under this name: the certificate (PEM), if it accepts it.
    async fn seen(&self, name: &str, root: &Path) -> Option<String> {
        seen(self.tls_port, name, Some(root)).await
    }

    /// Waits until clients accept the certificate of this name.
    async fn is_trusted(&self, name: &str) -> String {
        let root = self.root();
        until("a certificate of the authority", async || {
            self.seen(name, &root).await
        })
        .await
    }
}

/// Seconds since 1970, as metrics have them.
fn unix_time() -> f64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs_f64().floor()
}

/// What OpenSSL's client sees. With `root` it has to be vouched for, and for this name.
async fn seen(port: u16, name: &str, root: Option<&Path>) -> Option<String> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &format!("127.0.0.1:{port}")]);
    command.args(["-servername", name]).stdin(Stdio::null());
    if let Some(root) = root {
        command.arg("-CAfile").arg(root);
        command.args(["-verify_hostname", name, "-verify_return_error"]);
    }
    let exit = run(command).await;
    let from = exit.stdout.find("-----BEGIN CERTIFICATE-----")?;
    let to = exit.stdout.find("-----END CERTIFICATE-----")?;
    exit.status
        .success()
        .then(|| exit.stdout[from..to].to_owned())
}
