//! A certificate with its chain and its key.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::authority::KeyType;
use crate::name::{Name, Names};
use crate::schedule::Validity;

/// The most certificates of a chain.
const CHAIN_MAX: usize = 10;

/// The chain that an authority gave, or one that we signed ourselves, and the key.
pub struct Certificate {
    pem: Zeroizing<String>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    names: Vec<Box<str>>,
    validity: Validity,
}

/// Why bytes are no certificate that can be served. Says nothing of what is in the key.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("it is not PEM with a certificate and a private key")]
    NotPem,
    #[error("the chain has {0} certificates; expected 1 to {CHAIN_MAX}")]
    Chain(usize),
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    #[error("the key does not belong to the certificate")]
    OtherKey,
    #[error("the certificate is not for `{0}`")]
    OtherName(Name),
    #[error("the certificate is not valid any more")]
    Expired,
    #[error(
        "the certificate is issued by `{issuer}`, and the next one of the chain is that of `{next}`"
    )]
    OtherIssuer { issuer: String, next: String },
    #[error("no key or certificate can be made: {0}")]
    Make(#[from] rcgen::Error),
}

impl Certificate {
    /// From PEM: a private key (PKCS#8), the certificate, those that vouch for it.
    ///
    /// # Errors
    /// Something of it is missing, or does not belong together.
    pub fn from_pem(pem: &[u8]) -> Result<Certificate, CertificateError> {
        let text = std::str::from_utf8(pem).map_err(|_| CertificateError::NotPem)?;
        // A file that was cut off would be read as a shorter chain.
        if !text.trim_ascii_end().ends_with("-----END CERTIFICATE-----") {
            return Err(CertificateError::NotPem);
        }
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::NotPem)?;
        if chain.len() > CHAIN_MAX {
            return Err(CertificateError::Chain(chain.len()));
        }
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| CertificateError::NotPem)?;
        let leaf = chain.first().ok_or(CertificateError::Chain(0))?;
        let (_, parsed) = X509Certificate::from_der(leaf)
            .map_err(|error| CertificateError::Unreadable(error.to_string()))?;
        check_key(&parsed, &key)?;
        let (names, validity) = read(&parsed)?;
        Ok(Certificate {
            pem: Zeroizing::new(text.to_owned()),
            chain,
            key,
            names,
            validity,
        })
    }

    /// What an authority gave for a key of ours.
    ///
    /// # Errors
    /// As [`Certificate::from_pem`]; or it is not for these names, or not valid any more.
    pub(crate) fn issued(
        key: &KeyPair,
        chain: &str,
        names: &Names,
        now: SystemTime,
    ) -> Result<Certificate, CertificateError> {
        let pem = Zeroizing::new(format!("{}{chain}", &*Zeroizing::new(key.serialize_pem())));
        let certificate = Certificate::from_pem(pem.as_bytes())?;
        if let Some(other) = names.iter().find(|name| !certificate.has(name)) {
            return Err(CertificateError::OtherName(other.clone()));
        }
        if certificate.validity.expires <= now {
            return Err(CertificateError::Expired);
        }
        check_chain(&certificate.chain)?;
        Ok(certificate)
    }

    /// One that nobody vouches for, valid for a week from now on.
    ///
    /// # Errors
    /// No key can be made.
    pub(crate) fn self_signed(names: &Names) -> Result<Certificate, CertificateError> {
        let mut params = params(names)?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, "Tidegate: no certificate yet");
        params.distinguished_name = subject;
        let now = SystemTime::now();
        // Clocks of clients may be a little behind.
        params.not_before = (now - Duration::from_secs(3600)).into();
        params.not_after = (now + Duration::from_secs(7 * 24 * 3600)).into();
        Certificate::signed_by_itself(&params)
    }

    /// The answer to a challenge `tls-alpn-01`: the name, and the hash of the key authorization in a
    /// critical extension (RFC 8737 §3).
    ///
    /// # Errors
    /// No key can be made.
    pub(crate) fn challenge(name: &Name, hash: &[u8; 32]) -> Result<Certificate, CertificateError> {
        let mut params = CertificateParams::new([name.base().to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(hash)];
        Certificate::signed_by_itself(&params)
    }

    fn signed_by_itself(params: &CertificateParams) -> Result<Certificate, CertificateError> {
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let key = Zeroizing::new(key.serialize_pem());
        let pem = Zeroizing::new(format!("{}{}", &*key, certificate.pem()));
        Certificate::from_pem(pem.as_bytes())
    }

    /// The chain, the certificate first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The key of the first certificate.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// From when to when it counts.
    pub fn validity(&self) -> &Validity {
        &self.validity
    }

    /// The names that it is for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Whether it has this very name.
    pub fn has(&self, name: &Name) -> bool {
        self.names().any(|of| of == name.as_str())
    }

    /// Whether it has these names and no others.
    pub fn is_for(&self, names: &Names) -> bool {
        let wanted = |of: &str| names.iter().any(|name| name.as_str() == of);
        names.iter().all(|name| self.has(name)) && self.names().all(wanted)
    }

    /// Key and chain, to be kept.
    pub(crate) fn pem(&self) -> &[u8] {
        self.pem.as_bytes()
    }
}

/// What is asked of an authority for these names (PKCS#10), and by whom it is signed.
pub(crate) fn request(
    names: &Names,
    key_type: KeyType,
) -> Result<(KeyPair, Vec<u8>), CertificateError> {
    let key = KeyPair::generate_for(match key_type {
        KeyType::EcdsaP256 => &PKCS_ECDSA_P256_SHA256,
        KeyType::EcdsaP384 => &PKCS_ECDSA_P384_SHA384,
    })?;
    let mut params = params(names)?;
    // The names are in the extension; authorities choose the subject.
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key)?;
    Ok((key, request.der().to_vec()))
}

fn params(names: &Names) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    CertificateParams::new(names)
}

fn read(leaf: &X509Certificate<'_>) -> Result<(Vec<Box<str>>, Validity), CertificateError> {
    let unreadable = |error: String| CertificateError::Unreadable(error);
    let names = leaf
        .subject_alternative_name()
        .map_err(|error| unreadable(error.to_string()))?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into()),
        _ => None,
    });
    let time = |seconds: i64| {
        let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    let validity = leaf.validity();
    let issued = time(validity.not_before.timestamp());
    let expires = time(validity.not_after.timestamp());
    match (issued, expires) {
        (Some(issued), Some(expires)) => Ok((names.collect(), Validity { issued, expires })),
        _ => Err(unreadable("its dates".to_owned())),
    }
}

/// By hand: what rustls has for it refuses the critical extension of a challenge.
fn check_key(
    leaf: &X509Certificate<'_>,
    key: &PrivateKeyDer<'static>,
) -> Result<(), CertificateError> {
    let key = rustls::crypto::ring::sign::any_supported_type(key)
        .map_err(|_| CertificateError::OtherKey)?;
    match key.public_key() {
        Some(public) if *public == *leaf.public_key().raw => Ok(()),
        _ => Err(CertificateError::OtherKey),
    }
}

/// Whether each certificate can be read, and the second is that of who issued the first: others may come in
/// any order (RFC 8446 §4.4.2), but without this one no client finds its way. Who is at its end is known to
/// clients alone.
fn check_chain(chain: &[CertificateDer<'static>]) -> Result<(), CertificateError> {
    let unreadable = |error: x509_parser::nom::Err<_>| {
        CertificateError::Unreadable(format!("one of its chain: {error}"))
    };
    let parsed = chain
        .iter()
        .map(|der| Ok(X509Certificate::from_der(der)?.1));
    let parsed: Vec<X509Certificate<'_>> = parsed.collect::<Result<_, _>>().map_err(unreadable)?;
    match &*parsed {
        [leaf, next, ..] if leaf.issuer().as_raw() != next.subject().as_raw() => {
            Err(CertificateError::OtherIssuer {
                issuer: leaf.issuer().to_string(),
                next: next.subject().to_string(),
            })
        }
        _ => Ok(()),
    }
}

/// Without the key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::parse(["a.example", "*.b.example"]).unwrap()
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let made = Certificate::self_signed(&names()).unwrap();
        let read = Certificate::from_pem(made.pem()).unwrap();
        assert!(read.is_for(&names()));
        assert!(!read.is_for(&Names::parse(["a.example"]).unwrap()));
        assert_eq!(read.validity(), made.validity());
        let left = made.validity().expires.duration_since(SystemTime::now());
        assert!(left.unwrap() > Duration::from_secs(6 * 24 * 3600));
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }

    #[test]
    fn what_was_cut_off_is_not_read() {
        let one = Certificate::self_signed(&names()).unwrap();
        let one = std::str::from_utf8(one.pem()).unwrap();
        let leaf = &one[one.find("-----BEGIN CERTIFICATE").unwrap()..];
        let whole = format!("{one}{leaf}");
        assert_eq!(
            Certificate::from_pem(whole.as_bytes())
                .unwrap()
                .chain()
                .len(),
            2
        );
        for end in (one.len() + 1)..(whole.trim_end().len()) {
            assert!(
                Certificate::from_pem(&whole.as_bytes()[..end]).is_err(),
                "{end}"
            );
        }
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let one = Certificate::self_signed(&names()).unwrap();
        let other = Certificate::self_signed(&names()).unwrap();
        let one = std::str::from_utf8(one.pem()).unwrap();
        let other = std::str::from_utf8(other.pem()).unwrap();
        let at = |text: &str| text.find("-----BEGIN CERTIFICATE").unwrap();
        let mixed = format!("{}{}", &one[..at(one)], &other[at(other)..]);
        let mixed = Certificate::from_pem(mixed.as_bytes());
        assert!(matches!(mixed, Err(CertificateError::OtherKey)));
        for part in [
            &one[..at(one)],
            &one[at(one)..],
            "",
            "nonsense",
            &one[..200],
        ] {
            assert!(Certificate::from_pem(part.as_bytes()).is_err());
        }
        assert!(Certificate::from_pem(b"\xff").is_err());
    }

    #[test]
    fn an_authority_that_gives_something_else_is_not_believed() {
        let (key, _) = request(&names(), KeyType::EcdsaP384).unwrap();
        let other = names();
        let chain = params(&other).unwrap().self_signed(&key).unwrap().pem();
        let now = SystemTime::now();
        assert!(Certificate::issued(&key, &chain, &names(), now).is_ok());
        let more = Names::parse(["a.example", "c.example"]).unwrap();
        let refused = Certificate::issued(&key, &chain, &more, now).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the certificate is not for `c.example`"
        );
        let late = now + Duration::from_secs(400_000 * 24 * 3600 * 10);
        let refused = Certificate::issued(&key, &chain, &names(), late);
        assert!(matches!(refused, Err(CertificateError::Expired)));
    }

    #[test]
    fn a_chain_that_leads_elsewhere_is_not_believed() {
        let (key, _) = request(&names(), KeyType::EcdsaP256).unwrap();
        let own = params(&names()).unwrap();
        let own = own.self_signed(&key).unwrap().pem();
        let mut other = CertificateParams::default();
        other.distinguished_name = DistinguishedName::new();
        other
            .distinguished_name
            .push(DnType::CommonName, "somebody");
        let other = other
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .pem();
        let now = SystemTime::now();
        let given = |chain: String| Certificate::issued(&key, &chain, &names(), now);
        assert!(given(format!("{own}{own}{other}")).is_ok());
        let refused = given(format!("{own}{other}")).unwrap_err().to_string();
        assert!(
            refused.contains("next one of the chain is that of `CN=somebody`"),
            "{refused}"
        );
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            given(format!("{own}{broken}")),
            Err(CertificateError::Unreadable(_))
        ));
    }

    #[test]
    fn a_challenge_is_in_a_critical_extension() {
        let name = Name::parse("a.example").unwrap();
        let made = Certificate::challenge(&name, &[7; 32]).unwrap();
        let (_, parsed) = X509Certificate::from_der(&made.chain()[0]).unwrap();
        let oid = x509_parser::oid_registry::asn1_rs::oid!(1.3.6.1.5.5.7.1.31);
        let extension = parsed.get_extension_unique(&oid).unwrap().unwrap();
        assert!(extension.critical);
        assert_eq!(extension.value, [&[4, 32][..], &[7; 32]].concat());
        assert!(made.has(&name));
    }
}
