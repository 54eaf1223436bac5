//! Certificates in files: read when a configuration first names them, and again whenever they change. What
//! does not fit together never replaces what did.

mod expiry;
mod files;
mod watched;

use self::expiry::Expiry;
use self::files::{Files, read_authorities};
use self::watched::{Look, Watched};
use crate::watch::Stamp;
use prometheus::{IntCounterVec, Opts, Registry};
use rustls::pki_types::CertificateDer;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;
use tidegate_config::{CertificateFiles, Config, Error, read_file};
use tidegate_listen::tls::{Certificate, Certificates};

pub(crate) use self::files::FILE_MAX;

/// All certificates of the process, and those who vouch for clients.
pub struct Store {
    /// Locked while files are read: only by threads that may block.
    read: Mutex<FromFiles>,
    served: Arc<Mutex<Served>>,
    loads: IntCounterVec,
}

/// What was read from files.
#[derive(Default)]
struct FromFiles {
    places: Vec<Place>,
    /// Who vouches for clients, by file.
    authorities: HashMap<PathBuf, Watched<Vec<CertificateDer<'static>>>>,
}

/// What a listener serves from files, by those files. Listeners alone hold it.
struct Place {
    files: Vec<Files>,
    served: Weak<Certificates>,
    certificates: Vec<Watched<Certificate>>,
}

/// All that is served. Locked for moments only, so that metrics do not wait for files.
#[derive(Default)]
struct Served {
    /// From files.
    places: Vec<Weak<Certificates>>,
    /// What authorities gave, by their names in the configuration.
    issued: BTreeMap<String, Arc<Certificates>>,
}

impl Store {
    /// Nothing yet; its metrics go to `registry`.
    pub fn new(registry: &Registry) -> Result<Store, prometheus::Error> {
        let served = Arc::<Mutex<Served>>::default();
        let loads = IntCounterVec::new(
            Opts::new(
                "tidegate_certificate_loads_total",
                "Certificates, responses and authorities for clients that were read from files: `ok`, `failed`.",
            ),
            &["kind", "result"],
        )?;
        for kind in ["certificate", "ocsp", "authority"] {
            for result in ["ok", "failed"] {
                loads.with_label_values(&[kind, result]);
            }
        }
        registry.register(Box::new(loads.clone()))?;
        registry.register(Box::new(Expiry::new(served.clone())?))?;
        Ok(Store {
            read: Mutex::default(),
            served,
            loads,
        })
    }

    /// What an authority of the configuration has given. It is put in by whoever asks that authority, and
    /// stays over reloads.
    pub fn issued(&self, name: &str) -> Arc<Certificates> {
        let mut served = lock(&self.served);
        served.issued.entry(name.to_owned()).or_default().clone()
    }

    /// The certificates of these files: those that are served already, or new ones.
    ///
    /// # Errors
    /// Files that cannot be read, or do not belong together, each at its place in the configuration.
    pub fn of_files(
        &self,
        config: &Config,
        written: &[CertificateFiles],
    ) -> Result<Arc<Certificates>, Vec<Error>> {
        let files: Vec<Files> = written.iter().map(Files::of).collect();
        let served = |place: &Place| place.served.upgrade().filter(|_| place.files == files);
        if let Some(served) = lock(&self.read).places.iter().find_map(served) {
            return Ok(served);
        }
        let (mut watched, mut errors) = (Vec::new(), Vec::new());
        for (files, written) in files.iter().zip(written) {
            let stamps = files.stamps();
            match files.load() {
                Ok(certificate) => {
                    watched.push(Watched::new(self.with_ocsp(certificate, files), stamps));
                }
                Err(problem) => errors.push(config.error(written.span, problem)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        self.forget_what_nobody_serves();
        let certificates = Arc::new(Certificates::new());
        let read = files.iter().zip(&watched);
        let read = read.map(|(files, watched)| (files.source(), watched.value.clone()));
        certificates.put(&read.collect::<Vec<_>>());
        lock(&self.read).places.push(Place {
            files,
            served: Arc::downgrade(&certificates),
            certificates: watched,
        });
        lock(&self.served)
            .places
            .push(Arc::downgrade(&certificates));
        Ok(certificates)
    }

    /// The authorities in a file.
    ///
    /// # Errors
    /// It cannot be read, or has none.
    pub fn authorities(&self, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
        let mut before = lock(&self.read);
        if let Some(known) = before.authorities.get(path) {
            return Ok(known.value.clone());
        }
        let stamps = vec![Stamp::of(path)];
        let read = read_authorities(path)?;
        let watched = Watched::new(read.clone(), stamps);
        before.authorities.insert(path.to_owned(), watched);
        Ok(read)
    }

    /// Forget the authorities in files other than these, which nothing is made with any more.
    pub fn keep_authorities(&self, named: &BTreeSet<PathBuf>) {
        let mut read = lock(&self.read);
        read.authorities.retain(|path, _| named.contains(path));
    }

    /// What all files look like, if one of them looks other than when it was read. Asks the file system, as all that
    /// follows.
    pub fn changed(&self) -> Option<Vec<Option<Stamp>>> {
        let read = lock(&self.read);
        let (mut all, mut is_changed) = (Vec::new(), false);
        for place in &read.places {
            for (files, watched) in place.files.iter().zip(&place.certificates) {
                let stamps = files.stamps();
                is_changed |= stamps != watched.stamps;
                all.extend(stamps);
            }
        }
        for (path, watched) in &read.authorities {
            let stamp = Stamp::of(path);
            is_changed |= watched.stamps != [stamp.clone()];
            all.push(stamp);
        }
        is_changed.then_some(all)
    }

    /// Look at all files again, and serve what is new. Says whether authorities for clients changed: what
    /// was made with them is to be made anew.
    pub fn refresh(&self) -> bool {
        self.forget_what_nobody_serves();
        let mut read = lock(&self.read);
        for place in &mut read.places {
            let Some(served) = place.served.upgrade() else {
                continue;
            };
            let mut new = Vec::new();
            for (files, watched) in place.files.iter().zip(&mut place.certificates) {
                if self.refresh_certificate(files, watched) {
                    new.push((files.source(), watched.value.clone()));
                }
            }
            if !new.is_empty() {
                served.put(&new);
            }
        }
        let mut changed = false;
        for (path, watched) in &mut read.authorities {
            match watched.look(|| vec![Stamp::of(path)], || read_authorities(path)) {
                Look::Same => {}
                Look::New(authorities) => {
                    self.count("authority", true);
                    changed |= authorities != watched.value;
                    watched.value = authorities;
                }
                Look::Wrong(problem) => {
                    self.count("authority", false);
                    tracing::error!(file = %path.display(), error = problem, "the authorities for client certificates cannot be read; the old ones stay");
                }
            }
        }
        changed
    }

    fn forget_what_nobody_serves(&self) {
        let is_served = |served: &Weak<Certificates>| served.strong_count() > 0;
        let mut read = lock(&self.read);
        read.places.retain(|place| is_served(&place.served));
        lock(&self.served).places.retain(is_served);
    }

    /// Whether there is another one to be served.
    fn refresh_certificate(&self, files: &Files, watched: &mut Watched<Certificate>) -> bool {
        match watched.look(|| files.stamps(), || files.load()) {
            Look::Same => {
                let until = watched.value.ocsp_until();
                if until.is_none_or(|until| until >= SystemTime::now()) {
                    return false;
                }
                tracing::warn!(cert = %files.cert.display(), "the OCSP response is too old and is not sent any more; get a new one");
                self.count("ocsp", false);
                watched.value = watched.value.without_ocsp();
            }
            Look::New(certificate) => {
                watched.value = self.with_ocsp(certificate, files);
                if watched.value.expires() < SystemTime::now() {
                    tracing::warn!(cert = %files.cert.display(), "the new certificate has expired; clients will not accept it");
                }
                tracing::info!(cert = %files.cert.display(), "certificate replaced");
            }
            Look::Wrong(problem) => {
                self.count("certificate", false);
                tracing::error!(cert = %files.cert.display(), error = problem, "the certificate cannot be replaced, the old one stays until its files are right");
                return false;
            }
        }
        true
    }

    /// With the response, if it is good.
    fn with_ocsp(&self, certificate: Certificate, files: &Files) -> Certificate {
        self.count("certificate", true);
        let Some(path) = &files.ocsp else {
            return certificate;
        };
        let response = read_file(path, FILE_MAX).map_err(|error| error.to_string());
        let response = response.and_then(|response| {
            let stapled = certificate.with_ocsp(&response);
            stapled.map_err(|error| error.to_string())
        });
        self.count("ocsp", response.is_ok());
        response.unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), error, "the OCSP response is not sent");
            certificate
        })
    }

    fn count(&self, kind: &str, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.loads.with_label_values(&[kind, result]).inc();
    }
}

impl Served {
    fn certificates(&self) -> Vec<Certificate> {
        let places = self.places.iter().filter_map(Weak::upgrade);
        let all = places.chain(self.issued.values().cloned());
        all.flat_map(|place| place.all()).collect()
    }
}

/// Poisoned by nothing that leaves it half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
