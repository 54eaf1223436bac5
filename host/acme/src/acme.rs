//! All authorities of a configuration, at work.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Instant, SystemTime};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::authority::Authority;
use crate::certificate::Certificate;
use crate::challenge::Tokens;
use crate::issuer::{Answering, Issuer};
use crate::metrics::Metrics;
use crate::name::{Name, Names};
use crate::permission::{Pending, Permission, Turn};
use crate::renewal::Renewal;
use crate::serve::Serve;
use crate::store::{Shelf, Store};

/// What lives as long as the process: the certificates that are to be had, whatever the configuration
/// says next. Cheap to clone.
#[derive(Clone)]
pub struct Acme(Arc<Inner>);

struct Inner {
    answering: Answering,
    metrics: Metrics,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    stores: BTreeMap<PathBuf, Weak<Store>>,
    issuers: BTreeMap<Arc<str>, Arc<Issuer>>,
    permissions: BTreeMap<Arc<str>, Arc<Permission>>,
    certificates: BTreeMap<Key, Entry>,
}

/// The authority and the main name.
type Key = (Arc<str>, Name);

/// A certificate that is looked after.
struct Entry {
    names: Names,
    issuers: Arc<[Arc<Issuer>]>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A configuration that nothing is wrong with.
pub struct Prepared {
    issuers: BTreeMap<Arc<str>, Arc<Issuer>>,
    permissions: BTreeMap<Arc<str>, Arc<Permission>>,
    certificates: Vec<(Key, Wanted)>,
}

enum Wanted {
    /// It is looked after as it should be.
    Kept,
    Loaded(Box<Renewal>),
}

/// What is wrong with the configuration of an authority, or with its store.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct PrepareError {
    /// Its name.
    pub authority: Arc<str>,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl Acme {
    /// Nothing is looked after yet.
    pub fn new(serve: Arc<dyn Serve>, metrics: Metrics) -> Acme {
        Acme(Arc::new(Inner {
            answering: Answering {
                tokens: Arc::default(),
                serve,
            },
            metrics,
            running: Mutex::default(),
        }))
    }

    /// The answers to challenges `http-01` that are open.
    pub fn tokens(&self) -> Arc<Tokens> {
        self.0.answering.tokens.clone()
    }

    /// Opens stores and reads what they have. Changes nothing that runs. Waits for the disk.
    ///
    /// # Errors
    /// What is wrong with an authority: its store cannot be used, or nobody vouches for it.
    pub fn prepare(&self, authorities: Vec<Authority>) -> Result<Prepared, PrepareError> {
        let mut prepared = Prepared {
            issuers: BTreeMap::new(),
            permissions: BTreeMap::new(),
            certificates: Vec::new(),
        };
        let mut lists = Vec::new();
        for mut authority in authorities {
            let name = authority.name.clone();
            // A list that changes is no reason to begin anew with all that is in it.
            lists.push((name.clone(), std::mem::take(&mut authority.certificates)));
            let failed = |reason: String| PrepareError {
                authority: name.clone(),
                reason,
            };
            let issuer = self.issuer(authority).map_err(failed)?;
            if let Some(permission) = self.permission(&issuer).map_err(failed)? {
                prepared.permissions.insert(name.clone(), permission);
            }
            prepared.issuers.insert(name.clone(), issuer);
        }
        for (name, list) in lists {
            let loaded = self.load(&name, list, &prepared);
            let loaded = loaded.map_err(|reason| PrepareError {
                authority: name.clone(),
                reason,
            })?;
            prepared.certificates.extend(loaded);
        }
        Ok(prepared)
    }

    /// The one that runs, where nothing about it changed.
    fn issuer(&self, authority: Authority) -> Result<Arc<Issuer>, String> {
        let mut running = self.running();
        let same = running.issuers.get(&authority.name);
        if let Some(same) = same.filter(|issuer| issuer.authority == authority) {
            return Ok(same.clone());
        }
        let known = running.stores.get(&authority.store).and_then(Weak::upgrade);
        let store = match known {
            Some(store) => store,
            None => {
                let store = Store::open(&authority.store).map_err(|error| error.to_string())?;
                running
                    .stores
                    .insert(authority.store.clone(), Arc::downgrade(&store));
                store
            }
        };
        drop(running);
        let shelf = Shelf::new(store, &authority.name, authority.store_key.clone())
            .map_err(|error| error.to_string())?;
        let issuer = Issuer::new(authority, shelf).map_err(|error| error.to_string())?;
        Ok(Arc::new(issuer))
    }

    fn permission(&self, issuer: &Issuer) -> Result<Option<Arc<Permission>>, String> {
        let Some(settings) = &issuer.authority.on_demand else {
            return Ok(None);
        };
        let running = self.running();
        let same = running.permissions.get(&issuer.authority.name);
        if let Some(same) = same.filter(|permission| permission.settings == *settings) {
            return Ok(Some(same.clone()));
        }
        drop(running);
        let permission = Permission::new(settings.clone()).map_err(|error| error.to_string())?;
        Ok(Some(Arc::new(permission)))
    }

    fn load(
        &self,
        name: &Arc<str>,
        mut list: Vec<Names>,
        prepared: &Prepared,
    ) -> Result<Vec<(Key, Wanted)>, String> {
        let issuers = chain(name, &prepared.issuers);
        let permission = prepared.permissions.get(name);
        let configured = list.len();
        if permission.is_some() {
            list.extend(on_demand_before(&issuers[0], &list)?);
        }
        let mut loaded = Vec::with_capacity(list.len());
        for (place, names) in list.into_iter().enumerate() {
            let key = (name.clone(), names.main().clone());
            if self.is_running(&key, &names, &issuers) {
                loaded.push((key, Wanted::Kept));
                continue;
            }
            let permission = permission.filter(|_| place >= configured);
            let mut renewal = self.renewal(names, issuers.clone())?;
            renewal.permission = permission.cloned();
            loaded.push((key, Wanted::Loaded(Box::new(renewal))));
        }
        Ok(loaded)
    }

    fn renewal(&self, names: Names, issuers: Arc<[Arc<Issuer>]>) -> Result<Renewal, String> {
        let answering = self.0.answering.clone();
        Renewal::load(names, issuers, answering, &self.0.metrics).map_err(|error| error.to_string())
    }

    fn is_running(&self, key: &Key, names: &Names, issuers: &[Arc<Issuer>]) -> bool {
        let running = self.running();
        running.certificates.get(key).is_some_and(|entry| {
            let same = entry.issuers.iter().zip(issuers);
            entry.names == *names
                && entry.issuers.len() == issuers.len()
                && same.fold(true, |all, (old, new)| all && Arc::ptr_eq(old, new))
                && !entry.task.is_finished()
        })
    }

    /// Serves and renews what was prepared, and nothing else any more. Needs a runtime.
    pub fn commit(&self, prepared: Prepared) {
        let serve = &self.0.answering.serve;
        let mut mains: BTreeMap<Arc<str>, Vec<Name>> = BTreeMap::new();
        for name in self.running().issuers.keys().chain(prepared.issuers.keys()) {
            mains.insert(name.clone(), Vec::new());
        }
        for ((authority, main), _) in &prepared.certificates {
            mains
                .entry(authority.clone())
                .or_default()
                .push(main.clone());
        }
        let mut running = self.running();
        let mut old = std::mem::take(&mut running.certificates);
        for (key, wanted) in prepared.certificates {
            let before = old.remove(&key);
            let entry = match (wanted, before) {
                (Wanted::Kept, Some(before)) => before,
                // Its task ended in between; the next reload finds it.
                (Wanted::Kept, None) => continue,
                (Wanted::Loaded(renewal), before) => start(*renewal, before),
            };
            running.certificates.insert(key, entry);
        }
        for (_, gone) in old {
            gone.stop.cancel();
        }
        running.issuers = prepared.issuers;
        running.permissions = prepared.permissions;
        running.stores.retain(|_, store| store.strong_count() > 0);
        drop(running);
        for (authority, mains) in mains {
            serve.retain(&authority, &mains);
        }
    }

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
        if name.is_wildcard() || self.is_looked_after(authority, &name) {
            return;
        }
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
        let wait = self.on_demand(authority);
        let wait = wait.map(|(_, permission)| permission.settings.wait);
        // An error is what is waited for: the other end is gone.
        let _ = tokio::time::timeout(wait.unwrap_or_default(), done.changed()).await;
    }

    async fn order_for_client(
        &self,
        issuer: Arc<Issuer>,
        permission: Arc<Permission>,
        name: Name,
        _pending: Pending,
    ) {
        let authority = issuer.authority.name.clone();
        let result = match permission.ask(&name).await {
            Ok(true) if !permission.take(Instant::now()) => "limited",
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
        if result != "ordered" {
            permission.refuse(&name, Instant::now());
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
                tracing::error!(issuer = &**authority, %name, error, "no certificate on demand");
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

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An authority, then those that stand in for it.
fn chain(name: &Arc<str>, issuers: &BTreeMap<Arc<str>, Arc<Issuer>>) -> Arc<[Arc<Issuer>]> {
    let Some(first) = issuers.get(name) else {
        return Arc::new([]);
    };
    let others = first.authority.fallback.iter();
    let others = others.filter_map(|name| issuers.get(name));
    std::iter::once(first).chain(others).cloned().collect()
}

/// The names of certificates that clients caused, of the store: they still count.
fn on_demand_before(issuer: &Issuer, list: &[Names]) -> Result<Vec<Names>, String> {
    let mut found = Vec::new();
    let mains = issuer
        .shelf
        .certificates()
        .map_err(|error| error.to_string())?;
    for main in mains {
        if list.iter().any(|names| *names.main() == main) {
            continue;
        }
        // What is damaged or was for other names is nothing that a client caused.
        let pem = issuer.shelf.certificate(&main).ok().flatten();
        let certificate = pem.and_then(|pem| Certificate::from_pem(&pem).ok());
        let names = Names::from(main);
        let counts = |certificate: &Certificate| {
            certificate.is_for(&names) && certificate.validity().expires > SystemTime::now()
        };
        if certificate.as_ref().is_some_and(counts) {
            found.push(names);
        }
    }
    Ok(found)
}

/// Looks after a certificate, when whoever did so before has come to an end.
fn start(renewal: Renewal, before: Option<Entry>) -> Entry {
    if let Some(before) = &before {
        before.stop.cancel();
    }
    if let Err(error) = renewal.serve() {
        tracing::error!(names = %renewal.names, %error, "there is nothing to serve");
    }
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let (names, issuers) = (renewal.names.clone(), renewal.issuers.clone());
    let task = tokio::spawn(async move {
        let mut renewal = renewal;
        if let Some(before) = before {
            // Its order may have come to something since.
            let _ = before.task.await;
            renewal.look_again().await;
        }
        renewal.run(stopped).await;
    });
    Entry {
        names,
        issuers,
        stop,
        task,
    }
}
