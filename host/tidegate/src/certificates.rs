//! Certificates in files: read when a configuration first names them, and again whenever they change. What
//! does not fit together never replaces what did.

use crate::watch::Stamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_config::{CertificateFiles, Config, Error};
use tidegate_listen::tls::{Certificate, Certificates};

/// The most bytes of a file with certificates, a key, or a response.
const FILE_MAX: u64 = 1 << 20;

/// All certificates of the process, and those who vouch for clients.
pub struct Store {
    kept: Arc<Mutex<Kept>>,
    loads: IntCounterVec,
}

#[derive(Default)]
struct Kept {
    /// What listeners serve from files, by those files. Listeners alone hold it.
    places: Vec<Place>,
    /// What authorities gave, by their names in the configuration.
    issued: BTreeMap<String, Arc<Certificates>>,
    /// Who vouches for clients, by file.
    authorities: HashMap<PathBuf, Watched<Vec<CertificateDer<'static>>>>,
}

struct Place {
    files: Vec<Files>,
    served: Weak<Certificates>,
    certificates: Vec<Watched<Certificate>>,
}

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    ocsp: Option<PathBuf>,
}

/// What was read, and what the files looked like then.
struct Watched<T> {
    value: T,
    stamps: Vec<Option<Stamp>>,
    /// What the files looked like when they were last found wrong, and whether that was said.
    wrong: Option<(Vec<Option<Stamp>>, bool)>,
}

/// What came of looking again.
enum Look<T> {
    Same,
    New(T),
    /// To be said: it was the same already when it was last looked at.
    Wrong(String),
}

impl Store {
    /// Nothing yet; its metrics go to `registry`.
    pub fn new(registry: &Registry) -> Result<Store, prometheus::Error> {
        let kept = Arc::<Mutex<Kept>>::default();
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
        registry.register(Box::new(Expiry::new(kept.clone())?))?;
        Ok(Store { kept, loads })
    }

    /// What an authority of the configuration has given. It is put in by whoever asks that authority, and
    /// stays over reloads.
    pub fn issued(&self, name: &str) -> Arc<Certificates> {
        let mut kept = lock(&self.kept);
        kept.issued.entry(name.to_owned()).or_default().clone()
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
        if let Some(served) = lock(&self.kept).places.iter().find_map(served) {
            return Ok(served);
        }
        let certificates = Arc::new(Certificates::new());
        let (mut watched, mut errors) = (Vec::new(), Vec::new());
        for (files, written) in files.iter().zip(written) {
            let stamps = files.stamps();
            match files.load() {
                Ok(certificate) => {
                    let value = self.with_ocsp(certificate, files);
                    certificates.put(&files.source(), &value);
                    watched.push(Watched::new(value, stamps));
                }
                Err(problem) => errors.push(config.error(written.span, problem)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut kept = lock(&self.kept);
        kept.places.retain(|place| place.served.strong_count() > 0);
        kept.places.push(Place {
            files,
            served: Arc::downgrade(&certificates),
            certificates: watched,
        });
        Ok(certificates)
    }

    /// The authorities in a file.
    ///
    /// # Errors
    /// It cannot be read, or has none.
    pub fn authorities(&self, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
        let mut kept = lock(&self.kept);
        if let Some(known) = kept.authorities.get(path) {
            return Ok(known.value.clone());
        }
        let stamps = vec![Stamp::of(path)];
        let read = read_authorities(path)?;
        let watched = Watched::new(read.clone(), stamps);
        kept.authorities.insert(path.to_owned(), watched);
        Ok(read)
    }

    /// What the files look like now.
    pub fn stamps(&self) -> Vec<Option<Stamp>> {
        let kept = lock(&self.kept);
        let certificates = kept.places.iter().flat_map(|place| &place.files);
        let mut stamps: Vec<_> = certificates.flat_map(Files::stamps).collect();
        stamps.extend(kept.authorities.keys().map(|path| Stamp::of(path)));
        stamps
    }

    /// Whether a file looks other than when it was read.
    pub fn have_changed(&self) -> bool {
        let kept = lock(&self.kept);
        let mut authorities = kept.authorities.iter();
        kept.places.iter().any(|place| {
            let mut files = place.files.iter().zip(&place.certificates);
            files.any(|(files, watched)| files.stamps() != watched.stamps)
        }) || authorities.any(|(path, watched)| watched.stamps != [Stamp::of(path)])
    }

    /// Look at all files again, and serve what is new. Says whether authorities for clients changed: what
    /// was made with them is to be made anew.
    pub fn refresh(&self) -> bool {
        let mut kept = lock(&self.kept);
        kept.places.retain(|place| place.served.strong_count() > 0);
        for place in &mut kept.places {
            let Some(served) = place.served.upgrade() else {
                continue;
            };
            for (files, watched) in place.files.iter().zip(&mut place.certificates) {
                self.refresh_certificate(files, watched, &served);
            }
        }
        let mut changed = false;
        for (path, watched) in &mut kept.authorities {
            match watched.look(|| vec![Stamp::of(path)], || read_authorities(path)) {
                Look::Same => {}
                Look::New(read) => {
                    self.count("authority", true);
                    changed |= read != watched.value;
                    watched.value = read;
                }
                Look::Wrong(problem) => {
                    self.count("authority", false);
                    tracing::error!(file = %path.display(), error = problem, "the authorities for client certificates cannot be read; the old ones stay");
                }
            }
        }
        changed
    }

    fn refresh_certificate(
        &self,
        files: &Files,
        watched: &mut Watched<Certificate>,
        served: &Certificates,
    ) {
        match watched.look(|| files.stamps(), || files.load()) {
            Look::Same => {
                let until = watched.value.ocsp_until();
                if until.is_none_or(|until| until >= SystemTime::now()) {
                    return;
                }
                tracing::warn!(cert = %files.cert.display(), "the OCSP response is too old and is not sent any more; get a new one");
                self.count("ocsp", false);
                watched.value = watched.value.without_ocsp();
            }
            Look::New(certificate) => {
                watched.value = self.with_ocsp(certificate, files);
                tracing::info!(cert = %files.cert.display(), "certificate replaced");
            }
            Look::Wrong(problem) => {
                self.count("certificate", false);
                tracing::error!(cert = %files.cert.display(), error = problem, "the certificate cannot be replaced, the old one stays until its files are right");
                return;
            }
        }
        served.put(&files.source(), &watched.value);
    }

    /// With the response, if it is good.
    fn with_ocsp(&self, certificate: Certificate, files: &Files) -> Certificate {
        self.count("certificate", true);
        if certificate.expires() < SystemTime::now() {
            tracing::warn!(cert = %files.cert.display(), "the certificate has expired; clients will not accept it");
        }
        let Some(path) = &files.ocsp else {
            return certificate;
        };
        let response = read(path).and_then(|response| {
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

impl<T> Watched<T> {
    fn new(value: T, stamps: Vec<Option<Stamp>>) -> Watched<T> {
        Watched {
            value,
            stamps,
            wrong: None,
        }
    }

    /// Read again what looks new. A certificate and its key are seldom written at the same moment, so that they
    /// do not fit together is said only when they are still the same at the next look.
    fn look(
        &mut self,
        stamps: impl Fn() -> Vec<Option<Stamp>>,
        read: impl Fn() -> Result<T, String>,
    ) -> Look<T> {
        let now = stamps();
        if now == self.stamps {
            self.wrong = None;
            return Look::Same;
        }
        let before = self.wrong.take().filter(|(wrong, _)| *wrong == now);
        if let Some((_, true)) = before {
            self.wrong = before;
            return Look::Same;
        }
        match read() {
            Ok(value) => {
                self.stamps = now;
                Look::New(value)
            }
            Err(problem) => {
                let again = before.is_some();
                self.wrong = Some((now, again));
                if again {
                    Look::Wrong(problem)
                } else {
                    Look::Same
                }
            }
        }
    }
}

impl Files {
    fn of(written: &CertificateFiles) -> Files {
        Files {
            cert: written.cert.clone(),
            key: written.key.clone(),
            ocsp: written.ocsp.clone(),
        }
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let files = [Some(&self.cert), Some(&self.key), self.ocsp.as_ref()];
        files.into_iter().flatten().map(|f| Stamp::of(f)).collect()
    }

    fn source(&self) -> String {
        self.cert.display().to_string()
    }

    fn load(&self) -> Result<Certificate, String> {
        let (cert, key) = (read(&self.cert)?, read(&self.key)?);
        Certificate::from_pem(&cert, &key).map_err(|error| {
            let (cert, key) = (self.cert.display(), self.key.display());
            format!("{cert} with {key}: {error}")
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let problem = |problem: String| format!("{}: {problem}", path.display());
    let file = File::open(path).map_err(|error| problem(error.to_string()))?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| problem(error.to_string()))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(problem("larger than 1 MiB".to_owned()));
    }
    Ok(bytes)
}

fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let all = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| format!("{}: {error}", path.display()))?;
    if all.is_empty() {
        return Err(format!("{}: there is no certificate in it", path.display()));
    }
    Ok(all)
}

/// Poisoned by nothing that leaves it half changed.
fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until when certificates are valid, looked up when somebody asks.
struct Expiry {
    kept: Arc<Mutex<Kept>>,
    gauge: GaugeVec,
}

impl Expiry {
    fn new(kept: Arc<Mutex<Kept>>) -> Result<Expiry, prometheus::Error> {
        let options = Opts::new(
            "tidegate_certificate_expiry_seconds",
            "When the certificate is not valid any more, in seconds since 1970, by its first name; of several, the first to expire.",
        );
        let gauge = GaugeVec::new(options, &["name"])?;
        Ok(Expiry { kept, gauge })
    }
}

impl Collector for Expiry {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let all: Vec<Certificate> = {
            let kept = lock(&self.kept);
            let places = kept
                .places
                .iter()
                .filter_map(|place| place.served.upgrade());
            let issued = kept.issued.values().cloned();
            places.chain(issued).flat_map(|place| place.all()).collect()
        };
        let mut first: BTreeMap<&str, f64> = BTreeMap::new();
        for certificate in &all {
            let name = certificate.names().first().map_or("", |name| name);
            let expires = certificate.expires().duration_since(UNIX_EPOCH);
            let expires = expires.map_or(0.0, |since| since.as_secs_f64());
            let known = first.entry(name).or_insert(expires);
            *known = known.min(expires);
        }
        self.gauge.reset();
        for (name, expires) in first {
            self.gauge.with_label_values(&[name]).set(expires);
        }
        self.gauge.collect()
    }
}
