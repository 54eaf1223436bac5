//! Certificates by the names that they are for, replaced while they are served.

use super::Certificate;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Certificates from one place, such as the files of a listener or one authority. What is put in is
/// served from the next handshake on.
#[derive(Default)]
pub struct Certificates {
    index: ArcSwap<Index>,
    on_demand: OnceLock<Arc<dyn OnDemand>>,
}

/// Gets certificates for names that there are none for.
#[async_trait]
pub trait OnDemand: Send + Sync {
    /// Try to get one for this name, which a client asks for: in lower case, a name but perhaps a made-up
    /// one. What came of it is looked for in the [`Certificates`]. The client is waiting; the
    /// handshake's deadline drops this.
    async fn obtain(&self, name: &str);
}

#[derive(Clone, Default)]
struct Index {
    /// In the order in which their sources came first.
    all: Vec<(Arc<str>, Certificate)>,
    exact: HashMap<Box<str>, Vec<Certificate>>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Vec<Certificate>>,
}

impl Certificates {
    /// None yet.
    pub fn new() -> Certificates {
        Certificates::default()
    }

    /// Serve this certificate in the place of the one that `source` (a file, a main name) had before.
    pub fn put(&self, source: &str, certificate: &Certificate) {
        self.change(|all| match all.iter_mut().find(|(of, _)| **of == *source) {
            Some((_, old)) => *old = certificate.clone(),
            None => all.push((source.into(), certificate.clone())),
        });
    }

    /// Keep those of these sources only, and in this order.
    pub fn retain(&self, sources: &[&str]) {
        let place = |source: &str| sources.iter().position(|of| *of == source);
        self.change(|all| {
            all.retain(|(source, _)| place(source).is_some());
            all.sort_by_key(|(source, _)| place(source));
        });
    }

    fn change(&self, change: impl Fn(&mut Vec<(Arc<str>, Certificate)>)) {
        self.index.rcu(|index| {
            let mut all = index.all.clone();
            change(&mut all);
            Index::new(all)
        });
    }

    /// All of them.
    pub fn all(&self) -> Vec<Certificate> {
        let index = self.index.load();
        index.all.iter().map(|(_, one)| one.clone()).collect()
    }

    /// Where to ask for names that there are none for. The first to be set stays.
    pub fn set_on_demand(&self, on_demand: Arc<dyn OnDemand>) {
        // Set once by whoever owns these certificates.
        let _ = self.on_demand.set(on_demand);
    }
}

impl Index {
    fn new(all: Vec<(Arc<str>, Certificate)>) -> Index {
        let mut index = Index {
            all,
            ..Index::default()
        };
        for (_, certificate) in &index.all {
            for name in certificate.names() {
                let of_name = match name.strip_prefix("*.") {
                    Some(parent) => index.wildcard.entry(parent.into()),
                    None => index.exact.entry(name.clone()),
                };
                of_name.or_default().push(certificate.clone());
            }
        }
        for of_name in index.exact.values_mut().chain(index.wildcard.values_mut()) {
            // What both sides can do is taken in this order: the cheaper signature first.
            of_name.sort_by_key(Certificate::is_rsa);
        }
        index
    }
}

/// What a listener serves: the certificates of its places, in this order.
#[derive(Debug)]
pub(crate) struct Offer(Vec<Arc<Certificates>>);

impl Offer {
    pub(crate) fn new(places: Vec<Arc<Certificates>>) -> Offer {
        Offer(places)
    }

    /// The certificate for a name in lower case that `fits`: one for the name itself, else one for a
    /// pattern that stands for it.
    pub(crate) fn find(
        &self,
        name: &str,
        fits: impl Fn(&Certificate) -> bool,
    ) -> Option<Certificate> {
        let first = |of_name: Option<&Vec<Certificate>>| of_name?.iter().find(|c| fits(c)).cloned();
        let exact = |place: &Arc<Certificates>| first(place.index.load().exact.get(name));
        let parent = name.split_once('.').map_or("", |(_, parent)| parent);
        let wildcard = |place: &Arc<Certificates>| first(place.index.load().wildcard.get(parent));
        let exact = self.0.iter().find_map(exact);
        exact.or_else(|| self.0.iter().find_map(wildcard))
    }

    /// The certificate for clients that ask for no name, or for one that there is none for: the first
    /// one; and in the place of that, its names' others.
    pub(crate) fn default(&self, fits: impl Fn(&Certificate) -> bool) -> Option<Certificate> {
        let first = self
            .0
            .iter()
            .find_map(|place| Some(place.index.load().all.first()?.1.clone()))?;
        let others = first.names().iter().find_map(|name| self.find(name, &fits));
        others.or_else(|| fits(&first).then_some(first))
    }

    /// Try to get a certificate for a name that there is none for.
    pub(crate) async fn obtain(&self, name: &str) {
        for on_demand in self.0.iter().filter_map(|place| place.on_demand.get()) {
            on_demand.obtain(name).await;
        }
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.index.load().all).finish()
    }
}
