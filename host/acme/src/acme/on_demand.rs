//! Certificates for names that clients ask for.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::{Acme, chain, start};
use crate::issuer::Issuer;
use crate::name::{Name, Names};
use crate::permission::{Pending, Permission, Turn};

impl Acme {
    /// A client asks for a name (lower case) that there is no certificate for. Comes back when there is
    /// one, or when it is clear that there is none for this client: it waits no longer than `wait` of
    /// [`OnDemand`](crate::OnDemand), while the order goes on for those who come later.
    pub async fn obtain(&self, authority: &str, host: &str) {
        let Some((issuer, permission)) = self.on_demand(authority) else {
            return;
        };
        let count = |result| self.0.metrics.on_demand(authority, result);
        let Ok(name) = Name::parse(host) else {
            return count("invalid");
        };
        if name.is_wildcard() {
            return count("invalid");
        }
        let wait = permission.settings.wait;
        let mut done = match permission.turn(&name, Instant::now()) {
            Turn::No(reason) => return count(reason),
            Turn::Wait(done) => done,
            Turn::First(pending) => {
                let done = pending.done();
                let acme = self.clone();
                // A task of its own: it goes on when the client is gone.
                tokio::spawn(async move {
                    acme.order_for_client(issuer, permission, name, pending)
                        .await;
                });
                done
            }
        };
        // An error is what is waited for: the other end is gone.
        let _ = tokio::time::timeout(wait, done.changed()).await;
    }

    async fn order_for_client(
        &self,
        issuer: Arc<Issuer>,
        permission: Arc<Permission>,
        name: Name,
        _pending: Pending,
    ) {
        let authority = issuer.authority.name.clone();
        // It came while the client was asking.
        if self.is_looked_after(&authority, &name) {
            return;
        }
        let result = match permission.ask(&name).await {
            Ok(true) if !permission.may_order(Instant::now()) => "limited",
            Ok(true) => self.order_now(&authority, &permission, &name).await,
            Ok(false) => "refused",
            Err(error) => {
                if permission.may_complain(Instant::now()) {
                    let text = "cannot ask whether a certificate may be had";
                    tracing::warn!(issuer = &*authority, %name, %error, "{text}");
                }
                "unanswered"
            }
        };
        if result != "ordered" && permission.refuse(&name, Instant::now()) {
            self.0.metrics.forgotten(&authority);
        }
        self.0.metrics.on_demand(&authority, result);
    }

    async fn order_now(
        &self,
        authority: &Arc<str>,
        permission: &Arc<Permission>,
        name: &Name,
    ) -> &'static str {
        let issuers = chain(authority, &self.running().issuers);
        if issuers.is_empty() {
            return "refused";
        }
        let (acme, names) = (self.clone(), Names::from(name.clone()));
        let loaded = tokio::task::spawn_blocking(move || acme.renewal(names, issuers)).await;
        let mut renewal = match loaded {
            Ok(Ok(renewal)) => renewal,
            Ok(Err(error)) => {
                tracing::error!(issuer = &**authority, %name, %error, "no certificate on demand");
                return "failed";
            }
            Err(_) => return "failed",
        };
        // A restart does not forget that it failed.
        if !renewal.is_due(SystemTime::now()) && renewal.certificate.is_none() {
            return "remembered";
        }
        if renewal.certificate.is_none() && renewal.attempt().await.is_err() {
            return "failed";
        }
        renewal.permission = Some(permission.clone());
        renewal.serve();
        let key = (authority.clone(), name.clone());
        let mut running = self.running();
        let before = running.certificates.remove(&key);
        running.certificates.insert(key, start(renewal, before));
        "ordered"
    }

    fn on_demand(&self, authority: &str) -> Option<(Arc<Issuer>, Arc<Permission>)> {
        let running = self.running();
        let issuer = running.issuers.get(authority)?.clone();
        Some((issuer, running.permissions.get(authority)?.clone()))
    }

    fn is_looked_after(&self, authority: &str, name: &Name) -> bool {
        let running = self.running();
        running.certificates.iter().any(|((of, _), entry)| {
            **of == *authority && entry.names.cover(name.as_str()) && !entry.task.is_finished()
        })
    }
}
