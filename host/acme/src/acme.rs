//! All authorities of a configuration, at work.

mod on_demand;
mod prepare;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::certificate::Certificate;
use crate::challenge::Tokens;
use crate::claim::Claims;
use crate::issuer::Issuer;
use crate::metrics::Metrics;
use crate::name::{Name, Names};
use crate::order::Answering;
use crate::permission::Permission;
use crate::renewal::Renewal;
use crate::serve::Serve;
use crate::store::Store;
use prepare::Wanted;
pub use prepare::{PrepareError, Prepared};

/// What lives as long as the process: the certificates that are to be had, whatever the configuration
/// says next. Cheap to clone.
#[derive(Clone)]
pub struct Acme(Arc<Inner>);

struct Inner {
    answering: Answering,
    metrics: Metrics,
    /// Those that are open. Locked while one is opened, by who prepares a configuration and nobody else.
    stores: Mutex<BTreeMap<PathBuf, Weak<Store>>>,
    /// Handshakes wait for it: locked to look something up or to put something in, and no longer.
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
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

impl Acme {
    /// Nothing is looked after yet.
    pub fn new(serve: Arc<dyn Serve>, metrics: Metrics) -> Acme {
        Acme(Arc::new(Inner {
            answering: Answering {
                tokens: Arc::default(),
                serve,
                claims: Arc::new(Claims::default()),
            },
            metrics,
            stores: Mutex::default(),
            running: Mutex::default(),
        }))
    }

    /// The answers to challenges `http-01` that are open.
    pub fn tokens(&self) -> Arc<Tokens> {
        self.0.answering.tokens.clone()
    }

    /// Serves and renews what was prepared, and nothing else any more. Needs a runtime.
    pub fn commit(&self, prepared: Prepared) {
        let mut mains: BTreeMap<Arc<str>, Vec<Name>> = BTreeMap::new();
        for name in self.running().issuers.keys().chain(prepared.issuers.keys()) {
            mains.insert(name.clone(), Vec::new());
        }
        let mut loaded: BTreeMap<&str, Vec<(&Name, &Certificate)>> = BTreeMap::new();
        for ((authority, main), wanted) in &prepared.certificates {
            let of_authority = mains.entry(authority.clone()).or_default();
            of_authority.push(main.clone());
            if let Wanted::Loaded(one) = wanted {
                loaded.entry(authority).or_default().extend(one.to_serve());
            }
        }
        for (authority, certificates) in loaded {
            self.0.answering.serve.put(authority, &certificates);
        }
        self.replace(prepared);
        for (authority, mains) in mains {
            self.0.answering.serve.retain(&authority, &mains);
        }
    }

    fn replace(&self, prepared: Prepared) {
        let mut running = self.running();
        let mut old = std::mem::take(&mut running.certificates);
        for (key, wanted) in prepared.certificates {
            let before = old.remove(&key);
            let entry = match (wanted, before) {
                (Wanted::Kept, Some(before)) => before,
                // Its task ended in between; the next reload finds it.
                (Wanted::Kept, None) => continue,
                (Wanted::Loaded(loaded), before) => start(loaded.renewal, before),
            };
            running.certificates.insert(key, entry);
        }
        for (_, gone) in old {
            gone.stop.cancel();
        }
        running.issuers = prepared.issuers;
        running.permissions = prepared.permissions;
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

/// Looks after a certificate, when whoever did so before has come to an end.
fn start(renewal: Renewal, before: Option<Entry>) -> Entry {
    if let Some(before) = &before {
        before.stop.cancel();
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
