//! The files of certificates, and what is read from them.

use crate::watch::Stamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use tidegate_config::{CertificateFiles, read_file};
use tidegate_listen::tls::Certificate;

/// The most bytes of a file with certificates, a key, or a response. All authorities that browsers know have a
/// quarter of that.
pub(crate) const FILE_MAX: u64 = 1 << 20;

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) cert: PathBuf,
    key: PathBuf,
    pub(super) ocsp: Option<PathBuf>,
}

impl Files {
    pub(super) fn of(written: &CertificateFiles) -> Files {
        Files {
            cert: written.cert.clone(),
            key: written.key.clone(),
            ocsp: written.ocsp.clone(),
        }
    }

    pub(super) fn stamps(&self) -> Vec<Option<Stamp>> {
        let files = [Some(&self.cert), Some(&self.key), self.ocsp.as_ref()];
        files.into_iter().flatten().map(|f| Stamp::of(f)).collect()
    }

    pub(super) fn source(&self) -> String {
        self.cert.display().to_string()
    }

    pub(super) fn load(&self) -> Result<Certificate, String> {
        let read = |path: &Path| read_file(path, FILE_MAX).map_err(|error| error.to_string());
        let (cert, key) = (read(&self.cert)?, read(&self.key)?);
        Certificate::from_pem(&cert, &key).map_err(|error| {
            let (cert, key) = (self.cert.display(), self.key.display());
            format!("{cert} with {key}: {error}")
        })
    }
}

/// The authorities in a file: at least one.
pub(super) fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read_file(path, FILE_MAX).map_err(|error| error.to_string())?;
    let all = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| format!("{}: {error}", path.display()))?;
    if all.is_empty() {
        return Err(format!("{}: there is no certificate in it", path.display()));
    }
    Ok(all)
}
