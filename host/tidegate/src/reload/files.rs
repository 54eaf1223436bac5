//! Files beside the configuration, and those of plugins: certificates and their definitions.

use super::{SETTLE, SETTLE_TRIES, blocking, one_line};
use crate::acme;
use crate::app::App;
use crate::upstreams;
use crate::watch::Stamp;
use tidegate_config::Config;

/// What the files of TLS to upstreams look like.
pub(crate) async fn upstream_stamps(config: &Config) -> Vec<Option<Stamp>> {
    let files = upstreams::files(config);
    let look = move || files.iter().map(|file| Stamp::of(file)).collect();
    blocking(look).await.unwrap_or_default()
}

impl App {
    /// Take over the certificates whose files changed.
    pub(super) async fn reload_certificates(&mut self) {
        let mut before = None;
        for _ in 0..SETTLE_TRIES {
            let parts = self.parts.clone();
            let now = blocking(move || parts.tls.certificates.changed()).await;
            let now = now.ok().flatten();
            if now.is_none() || now == before {
                break;
            }
            before = now;
            tokio::time::sleep(SETTLE).await;
        }
        let parts = self.parts.clone();
        let refreshed = blocking(move || parts.tls.certificates.refresh()).await;
        if refreshed.unwrap_or_default() {
            // Those who vouch for clients changed: nobody gets in any more by a ticket of before.
            self.rebuild(&self.status.config()).await;
        }
    }

    /// Take over the files of TLS to upstreams that changed.
    pub(super) async fn reload_upstreams(&mut self) {
        let config = self.status.config();
        let mut now = upstream_stamps(&config).await;
        if now == self.upstream_files {
            return;
        }
        for _ in 0..SETTLE_TRIES {
            tokio::time::sleep(SETTLE).await;
            let before = std::mem::replace(&mut now, upstream_stamps(&config).await);
            if before == now {
                break;
            }
        }
        self.upstream_files = now;
        self.rebuild(&config).await;
        if !self.stale {
            tracing::info!("certificates of upstreams reloaded");
        }
    }

    /// Take over the certificate definitions that changed.
    pub(super) async fn reload_definitions(&mut self) {
        let config = self.status.config();
        let mut now = acme::definitions(&config).await;
        if now == self.definitions {
            return;
        }
        for _ in 0..SETTLE_TRIES {
            tokio::time::sleep(SETTLE).await;
            let before = std::mem::replace(&mut now, acme::definitions(&config).await);
            if before == now {
                break;
            }
        }
        self.definitions = now;
        match acme::prepare(&self.parts, &config).await {
            Ok(certificates) => {
                self.parts.acme.commit(certificates);
                tracing::info!("certificate definitions reloaded");
            }
            Err(error) => {
                let error = one_line(&error.into());
                tracing::error!(
                    error,
                    "the certificate definitions are not taken over, the old ones stay"
                );
            }
        }
    }
}
