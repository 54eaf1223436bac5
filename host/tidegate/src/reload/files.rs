//! Files beside the configuration, and those of plugins: certificates, their definitions, and secrets.

use super::{SETTLE, SETTLE_TRIES, blocking, one_line};
use crate::acme;
use crate::app::App;
use crate::upstreams;
use crate::watch::Stamp;
use std::path::Path;
use std::sync::Arc;
use tidegate_config::{Config, SecretSource};

/// What the files of TLS to upstreams look like.
pub(crate) async fn upstream_stamps(config: &Config) -> Vec<Option<Stamp>> {
    let files = upstreams::files(config);
    let look = move || files.iter().map(|file| Stamp::of(file)).collect();
    blocking(look).await.unwrap_or_default()
}

/// What the files of secrets look like.
pub(crate) async fn secret_stamps(config: &Config) -> Vec<Option<Stamp>> {
    let files: Vec<_> = secrets(config).map(Path::to_owned).collect();
    let look = move || files.iter().map(|file| Stamp::of(file)).collect();
    blocking(look).await.unwrap_or_default()
}

/// The files of secrets.
pub(super) fn secrets(config: &Config) -> impl Iterator<Item = &Path> {
    config
        .secrets
        .values()
        .filter_map(|secret| match &secret.source {
            SecretSource::File { path, .. } => Some(path.as_path()),
            SecretSource::Env(_) | SecretSource::Command { .. } => None,
        })
}

impl App {
    /// Take over the secrets whose files changed. Plugins and connections look them up; authorities are made with
    /// them, and made anew where any changed, also where it was its time to be read again.
    pub(super) async fn reload_secrets(&mut self) {
        let config = self.status.config();
        let mut now = secret_stamps(&config).await;
        if now != self.secret_files {
            for _ in 0..SETTLE_TRIES {
                tokio::time::sleep(SETTLE).await;
                let before = std::mem::replace(&mut now, secret_stamps(&config).await);
                // A copy over an old file begins by emptying it.
                if before == now && !now.iter().flatten().any(Stamp::is_empty) {
                    break;
                }
            }
            self.secret_files = now;
            self.parts.grants.read_secrets_again(false).await;
        }
        let changes = self.parts.grants.secret_changes();
        if changes == self.secret_changes {
            return;
        }
        self.secret_changes = changes;
        if acme::uses_secrets(&config)
            && let Err(error) = self.renew_authorities(&config).await
        {
            tracing::error!(
                error,
                "the keys of authorities are not taken over from the secrets that changed, the old ones stay"
            );
        }
    }

    /// Make authorities anew, where anything about them changed.
    async fn renew_authorities(&self, config: &Arc<Config>) -> Result<(), String> {
        let prepared = acme::prepare(&self.parts, config).await;
        let certificates = prepared.map_err(|error| one_line(&error.into()))?;
        self.parts.acme.commit(certificates);
        Ok(())
    }

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
        match self.renew_authorities(&config).await {
            Ok(()) => tracing::info!("certificate definitions reloaded"),
            Err(error) => tracing::error!(
                error,
                "the certificate definitions are not taken over, the old ones stay"
            ),
        }
    }
}
