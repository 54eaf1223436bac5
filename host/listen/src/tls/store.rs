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

    /// Serve these certificates, each in the place of the one that its source (a file, a main name) had
    /// before. The index is made once for all of them: it takes a time that grows with what is in it.
    pub fn put<S: AsRef<str>>(&self, certificates: &[(S, Certificate)]) {
        self.change(|all| {
            let mut new: HashMap<&str, &Certificate> = certificates
                .iter()
                .map(|(source, certificate)| (source.as_ref(), certificate))
                .collect();
            for (source, present) in all.iter_mut() {
                if let Some(certificate) = new.remove(&**source) {
                    *present = certificate.clone();
                }
            }
            for (source, _) in certificates {
                let source = source.as_ref();
                if let Some(certificate) = new.remove(source) {
                    all.push((source.into(), certificate.clone()));
                }
            }
        });
    }

    /// Keep those of these sources only, and in this order.
    pub fn retain(&self, sources: &[&str]) {
        let places = sources.iter().enumerate();
        let places: HashMap<&str, usize> = places.map(|(place, source)| (*source, place)).collect();
        self.change(|all| {
            all.retain(|(source, _)| places.contains_key(&**source));
            all.sort_by_key(|(source, _)| places.get(&**source).copied());
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use std::time::{Duration, Instant};

    fn certificate(names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let cert = params.self_signed(&key).unwrap();
        let key = key.serialize_der().try_into().unwrap();
        Certificate::from_der(vec![cert.der().clone()], key).unwrap()
    }

    fn found(offer: &Offer, name: &str) -> Option<Vec<u8>> {
        Some(offer.find(name, |_| true)?.chain().first()?.to_vec())
    }

    fn der(certificate: &Certificate) -> Option<Vec<u8>> {
        Some(certificate.chain().first()?.to_vec())
    }

    #[test]
    fn what_is_put_in_is_found_from_then_on_in_the_place_of_what_was() {
        let place = Arc::new(Certificates::new());
        let offer = Offer::new(vec![place.clone()]);
        assert!(offer.default(|_| true).is_none());
        let (old, new) = (certificate(&["a.example"]), certificate(&["b.example"]));
        place.put(&[("file", old.clone())]);
        assert_eq!(found(&offer, "a.example"), der(&old));
        place.put(&[("file", new.clone())]);
        assert_eq!(found(&offer, "a.example"), None);
        assert_eq!(found(&offer, "b.example"), der(&new));
        place.retain(&[]);
        assert_eq!(found(&offer, "b.example"), None);
    }

    #[test]
    fn a_name_goes_before_a_pattern_and_a_place_before_the_next() {
        let (first, second) = (Arc::new(Certificates::new()), Arc::new(Certificates::new()));
        let offer = Offer::new(vec![first.clone(), second.clone()]);
        let pattern = certificate(&["*.example"]);
        let (name, later) = (
            certificate(&["a.example"]),
            certificate(&["b.example", "a.example"]),
        );
        second.put(&[("name", name.clone()), ("later", later.clone())]);
        assert_eq!(offer.default(|_| true).map(|c| der(&c)), Some(der(&name)));
        first.put(&[("pattern", pattern.clone())]);
        assert_eq!(found(&offer, "a.example"), der(&name));
        assert_eq!(found(&offer, "c.example"), der(&pattern));
        assert_eq!(found(&offer, "x.c.example"), None);
        assert_eq!(
            offer.default(|_| true).map(|c| der(&c)),
            Some(der(&pattern))
        );
        second.retain(&["later", "name"]);
        assert_eq!(found(&offer, "a.example"), der(&later));
    }

    /// Thousands of certificates are a start of a second and not of minutes, and the renewal of one of them does
    /// not hold a worker up.
    #[test]
    fn many_are_put_in_at_once() {
        const MANY: usize = 5000;
        let names: Vec<String> = (0..MANY).map(|n| format!("n{n}.example")).collect();
        let key = KeyPair::generate().unwrap();
        let certificates = names.iter().map(|name| {
            let params = CertificateParams::new([name.clone(), format!("www.{name}")]).unwrap();
            let cert = params.self_signed(&key).unwrap();
            let key = key.serialize_der().try_into().unwrap();
            let certificate = Certificate::from_der(vec![cert.der().clone()], key).unwrap();
            (name.as_str(), certificate)
        });
        let certificates: Vec<_> = certificates.collect();
        let sources: Vec<&str> = names.iter().map(String::as_str).rev().collect();
        let place = Arc::new(Certificates::new());
        let start = Instant::now();
        place.put(&certificates);
        place.retain(&sources);
        let all = start.elapsed();
        let start = Instant::now();
        place.put(&certificates[..1]);
        let one = start.elapsed();
        println!("{MANY} certificates: {all:?}, one of them: {one:?}");
        // Each on its own took a thousand times as long, and to order them as long again.
        assert!(all < Duration::from_secs(1), "{all:?}");
        assert!(one < Duration::from_millis(500), "{one:?}");
        let offer = Offer::new(vec![place]);
        let default = offer.default(|_| true).map(|c| der(&c));
        assert_eq!(default, certificates.last().map(|(_, c)| der(c)));
        for (name, certificate) in &certificates {
            assert_eq!(found(&offer, name), der(certificate));
        }
    }
}
