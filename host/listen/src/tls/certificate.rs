//! A certificate with its chain and key.

use super::ocsp::{self, OcspError};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// A certificate chain and the key of its first certificate, ready to be served.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    names: Arc<[Box<str>]>,
    serial: Arc<[u8]>,
    expires: SystemTime,
    stapled: Option<Stapled>,
}

/// The same with an OCSP response.
#[derive(Clone)]
struct Stapled {
    key: Arc<CertifiedKey>,
    /// Until when the response is good, where it says so.
    until: Option<SystemTime>,
}

/// Why a chain and a key are no certificate to serve. Says nothing of what is in the key.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// There is no certificate.
    #[error("there is no certificate in it; expected PEM with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    /// What looks like a certificate is none.
    #[error("the certificate is not valid: {0}")]
    Certificate(String),
    /// There is no key.
    #[error(
        "there is no private key in it; expected PEM with `-----BEGIN PRIVATE KEY-----`, not encrypted"
    )]
    NoKey,
    /// The key cannot be used.
    #[error(
        "the key cannot be used; expected RSA of 2048 to 8192 bits, ECDSA (P-256, P-384) or Ed25519"
    )]
    Key,
    /// The key is another certificate's.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

impl Certificate {
    /// From PEM: the certificate, then those that vouch for it up to the root (which may be left out);
    /// and the key as PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    /// One of them is missing or not valid, or they do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Certificate, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, pem::Error>>()
            .map_err(|error| CertificateError::Certificate(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
        Certificate::from_der(chain, key)
    }

    /// From DER, in the same order.
    ///
    /// # Errors
    /// As [`Certificate::from_pem`].
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Certificate, CertificateError> {
        let first = chain.first().ok_or(CertificateError::NoCertificate)?;
        let invalid = |error: String| CertificateError::Certificate(error);
        let (_, parsed) =
            X509Certificate::from_der(first).map_err(|error| invalid(error.to_string()))?;
        let names = names(&parsed).map_err(invalid)?.into();
        let serial = parsed.raw_serial().into();
        let seconds = parsed.validity().not_after.timestamp();
        let expires = UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
        let key = ring::sign::any_supported_type(&key).map_err(|_| CertificateError::Key)?;
        // By hand: the engine's own comparison refuses the critical extension of a challenge's
        // certificate (RFC 8737 §3).
        if key.public_key().as_deref() != Some(parsed.public_key().raw) {
            return Err(CertificateError::Mismatch);
        }
        let key = CertifiedKey::new(chain, key);
        Ok(Certificate {
            key: Arc::new(key),
            names,
            serial,
            expires,
            stapled: None,
        })
    }

    /// The same with this OCSP response (DER), to be sent with it (RFC 6066 §8) for as long as it is good.
    ///
    /// # Errors
    /// It is none, too old, or not good for this certificate.
    pub fn with_ocsp(&self, response: &[u8]) -> Result<Certificate, OcspError> {
        let until = ocsp::check(response, &self.serial, SystemTime::now())?;
        let mut key = CertifiedKey::clone(&self.key);
        key.ocsp = Some(response.to_vec());
        Ok(Certificate {
            stapled: Some(Stapled {
                key: Arc::new(key),
                until,
            }),
            ..self.clone()
        })
    }

    /// The same without an OCSP response.
    pub fn without_ocsp(&self) -> Certificate {
        Certificate {
            stapled: None,
            ..self.clone()
        }
    }

    /// Until when its OCSP response is good, where it has one that says so.
    pub fn ocsp_until(&self) -> Option<SystemTime> {
        self.stapled.as_ref()?.until
    }

    /// Whom it is for: names in lower case, patterns as `*.example.com`, and addresses.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// When it is not valid any more.
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    /// Its chain, its own certificate first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// Whether it is for this host: a name in lower case, or an address (of IPv6 in brackets or not).
    /// A `*` stands for one label (RFC 9525 §6.3).
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let pattern = host.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(parent) => pattern == Some(parent) && !host.starts_with('.'),
            None => **name == *host,
        })
    }

    /// Whether its key can sign in one of these ways.
    pub(crate) fn signs(&self, schemes: &[SignatureScheme]) -> bool {
        self.key.key.choose_scheme(schemes).is_some()
    }

    /// RSA signs at about a fiftieth of the speed of the others.
    pub(crate) fn is_rsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::RSA
    }

    /// What is shown at this time: with the OCSP response, if it is still good.
    pub(crate) fn key(&self, now: SystemTime) -> &Arc<CertifiedKey> {
        let stapled = self.stapled.as_ref();
        let good = stapled.filter(|stapled| stapled.until.is_none_or(|until| now <= until));
        good.map_or(&self.key, |stapled| &stapled.key)
    }
}

/// The names of a certificate: of its extension alone; the common name has not been one since RFC 6125.
fn names(certificate: &X509Certificate<'_>) -> Result<Vec<Box<str>>, String> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| format!("its alternative names: {error}"))?;
    let Some(names) = names else {
        return Ok(Vec::new());
    };
    let names = names.value.general_names.iter();
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase().into()),
        GeneralName::IPAddress(octets) => Some(address(octets)?.to_string().into()),
        _ => None,
    });
    Ok(names.collect())
}

/// An address as certificates have it: its 4 or 16 octets (RFC 5280 §4.2.1.6).
pub(crate) fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(|octets| IpAddr::V6(Ipv6Addr::from(octets))))
        .ok()
}

/// Without the key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn pem(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn load(names: &[&str]) -> Certificate {
        let (cert, key) = pem(names);
        Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap()
    }

    #[test]
    fn a_star_is_one_label_and_addresses_are_themselves() {
        let certificate = load(&["Example.com", "*.example.org", "192.0.2.1", "2001:db8::1"]);
        for covered in [
            "example.com",
            "a.example.org",
            "192.0.2.1",
            "[2001:db8::1]",
            "2001:db8::1",
        ] {
            assert!(certificate.covers(covered), "{covered}");
        }
        for other in [
            "",
            "a.example.com",
            "example.org",
            "a.b.example.org",
            ".example.org",
            "*.example.com",
            "192.0.2.2",
            "xexample.com",
        ] {
            assert!(!certificate.covers(other), "{other}");
        }
    }

    /// That the response is too old is seen with each handshake, not when somebody looks at the file.
    #[test]
    fn a_response_is_sent_until_its_end_and_not_after() {
        let certificate = load(&["a.example"]);
        assert_eq!(certificate.key(SystemTime::now()).ocsp, None);
        let until = SystemTime::now() + Duration::from_secs(60);
        let response = ocsp::tests::good(&certificate.serial, until);
        let stapled = certificate.with_ocsp(&response).unwrap();
        let sent = |seconds| {
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            stapled.key(now).ocsp.is_some()
        };
        let until = stapled.ocsp_until().unwrap();
        let until = until.duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(sent(until));
        assert!(!sent(until + 1));
        assert!(stapled.without_ocsp().key(UNIX_EPOCH).ocsp.is_none());
    }

    #[test]
    fn halves_have_to_match_and_be_there() {
        let ((cert, key), (_, other)) = (pem(&["a.example"]), pem(&["a.example"]));
        let load = |cert: &str, key: &str| Certificate::from_pem(cert.as_bytes(), key.as_bytes());
        assert!(matches!(
            load(&cert, &other),
            Err(CertificateError::Mismatch)
        ));
        assert!(matches!(
            load("", &key),
            Err(CertificateError::NoCertificate)
        ));
        assert!(matches!(load(&cert, ""), Err(CertificateError::NoKey)));
        assert!(matches!(load(&cert, &cert), Err(CertificateError::NoKey)));
        let cut = cert.split_at(cert.len() / 2).0;
        assert!(load(cut, &key).is_err());
        let certificate = load(&cert, &key).unwrap();
        assert!(!format!("{certificate:?}").contains(key.lines().nth(1).unwrap()));
    }
}
