//! Which origins a plugin may call, and what they are trusted with.

use super::address::Reach;
use ring::digest;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use url::{Host, Url};

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// Where a request goes (RFC 6454): what its URL says of it, in one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: Scheme,
    host: Host<String>,
    port: u16,
}

/// An origin, or all subdomains of a name, that a plugin may call.
#[derive(Clone, Debug)]
pub struct Grant {
    scheme: Scheme,
    hosts: Hosts,
    port: u16,
    private: bool,
    ca: Option<Ca>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    One(Host<String>),
    /// Names that end so; with the dot in front.
    Below(String),
}

/// Certificates to trust in place of the platform's.
#[derive(Clone, Debug)]
struct Ca {
    roots: Arc<RootCertStore>,
    digest: [u8; 32],
}

/// What a connection was allowed to be: only grants that agree in this share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Trust {
    /// Whether it may go to an address that is not public.
    pub(super) private: bool,
    /// The digest of the certificates that were trusted in place of the platform's.
    ca: Option<[u8; 32]>,
}

/// Why a text is not a grant. Fit for a message about a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Not a URL.
    #[error("is not an origin such as `https://api.example.com`: {0}")]
    NotAnOrigin(String),
    /// Neither `http` nor `https`.
    #[error("begins with neither `https://` nor `http://`")]
    Scheme,
    /// It has more than scheme, host and port.
    #[error("has more than a scheme, a host and a port")]
    TooMuch,
    /// A `*` somewhere else.
    #[error("has a `*` elsewhere than as the first label of a name, as in `https://*.example.com`")]
    Wildcard,
    /// An address that only a private grant allows.
    #[error("is an address that is not public, which needs `private = true`")]
    Private,
    /// An address that no grant allows.
    #[error("is not the address of a server")]
    NoServer,
    /// The certificates cannot be read.
    #[error("is not PEM with certificates: {0}")]
    Ca(String),
}

impl Grant {
    /// Read `scheme://host[:port]` or `scheme://*.name[:port]`. Only `private` allows addresses that are
    /// not public: of this machine, of private networks, of the link.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str, private: bool) -> Result<Grant, GrantError> {
        let url = Url::parse(text).map_err(|error| GrantError::NotAnOrigin(error.to_string()))?;
        let origin = Origin::of(&url).ok_or(GrantError::Scheme)?;
        if !is_bare(text, &url) {
            return Err(GrantError::TooMuch);
        }
        let hosts = Hosts::from_host(origin.host)?;
        match hosts.address().map(Reach::of) {
            Some(Reach::Never) => return Err(GrantError::NoServer),
            Some(Reach::Private) if !private => return Err(GrantError::Private),
            _ => {}
        }
        Ok(Grant {
            scheme: origin.scheme,
            hosts,
            port: origin.port,
            private,
            ca: None,
        })
    }

    /// Trust these certificates for it, and no longer those of the platform.
    ///
    /// # Errors
    /// There is no certificate in it, or one that cannot be read.
    pub fn with_ca(self, pem: &[u8]) -> Result<Grant, GrantError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| GrantError::Ca(error.to_string()))?;
            let added = roots.add(certificate);
            added.map_err(|error| GrantError::Ca(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(GrantError::Ca("there is none in it".into()));
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, pem).as_ref());
        let roots = Arc::new(roots);
        Ok(Grant {
            ca: Some(Ca { roots, digest }),
            ..self
        })
    }

    pub(super) fn allows(&self, origin: &Origin) -> bool {
        self.scheme == origin.scheme && self.port == origin.port && self.hosts.contain(&origin.host)
    }

    pub(super) fn trust(&self) -> Trust {
        Trust {
            private: self.private,
            ca: self.ca.as_ref().map(|ca| ca.digest),
        }
    }

    pub(super) fn roots(&self) -> Option<Arc<RootCertStore>> {
        self.ca.as_ref().map(|ca| ca.roots.clone())
    }

    /// Of several grants that allow an origin, the least counts: the most exact one, and of equal ones
    /// that which allows more.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        let width = match &self.hosts {
            Hosts::One(_) => 0,
            Hosts::Below(suffix) => usize::MAX - suffix.len(),
        };
        (width, !self.private, self.ca.is_none())
    }
}

impl Hosts {
    fn from_host(host: Host<String>) -> Result<Hosts, GrantError> {
        let Host::Domain(name) = &host else {
            return Ok(Hosts::One(host));
        };
        match name.strip_prefix('*') {
            Some(suffix)
                if suffix.len() > 1 && suffix.starts_with('.') && !suffix.contains('*') =>
            {
                Ok(Hosts::Below(suffix.into()))
            }
            None if !name.contains('*') => Ok(Hosts::One(host)),
            _ => Err(GrantError::Wildcard),
        }
    }

    fn contain(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Hosts::One(granted), host) => granted == host,
            (Hosts::Below(suffix), Host::Domain(name)) => {
                name.len() > suffix.len() && name.ends_with(suffix) && !name.contains('*')
            }
            (Hosts::Below(_), _) => false,
        }
    }

    fn address(&self) -> Option<IpAddr> {
        match self {
            Hosts::One(Host::Ipv4(v4)) => Some((*v4).into()),
            Hosts::One(Host::Ipv6(v6)) => Some((*v6).into()),
            _ => None,
        }
    }
}

impl Origin {
    /// The origin of a URL; none if it is not one of HTTP.
    pub(super) fn of(url: &Url) -> Option<Origin> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        Some(Origin {
            scheme,
            host: url.host()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = match self.scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != default {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

/// Whether the URL has nothing but what makes an origin, not even a `/` at its end.
fn is_bare(text: &str, url: &Url) -> bool {
    let (_, rest) = text.split_once("://").unwrap_or(("", "/"));
    url.username().is_empty()
        && url.password().is_none()
        && rest.bytes().all(|byte| byte.is_ascii_graphic())
        && !rest.contains(['/', '\\', '?', '#', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(grant: &str, url: &str) -> bool {
        let grant = Grant::parse(grant, true).unwrap();
        let url = Url::parse(url).unwrap();
        grant.allows(&Origin::of(&url).unwrap())
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert!(allowed("https://a.example", "https://a.example/x?y"));
        assert!(allowed("https://a.example", "https://A.EXAMPLE:443/"));
        assert!(allowed("http://a.example:8080", "http://a.example:8080/"));
        assert!(allowed("http://[::1]:80", "http://[0:0::1]/"));
        assert!(allowed("http://127.0.0.1", "http://0x7f.1/"));
        assert!(!allowed("https://a.example", "http://a.example/"));
        assert!(!allowed("https://a.example", "https://a.example:8443/"));
        assert!(!allowed("https://a.example", "https://b.a.example/"));
        assert!(!allowed("https://a.example", "https://a.example./"));
        assert!(!allowed(
            "https://a.example",
            "https://a.example.evil.example/"
        ));
    }

    #[test]
    fn a_star_is_any_subdomain_and_not_the_apex() {
        let grant = "https://*.example.com";
        assert!(allowed(grant, "https://a.example.com/"));
        assert!(allowed(grant, "https://a.b.example.com/"));
        assert!(!allowed(grant, "https://example.com/"));
        assert!(!allowed(grant, "https://notexample.com/"));
        assert!(!allowed(grant, "https://.example.com/"));
        assert!(!allowed(grant, "https://a.example.com.evil.example/"));
        assert!(!allowed(grant, "https://93.184.216.34/"));
        assert!(!allowed(grant, "http://a.example.com/"));
    }

    #[test]
    fn what_is_no_grant_says_why() {
        let error = |text| Grant::parse(text, false).unwrap_err();
        assert!(matches!(error("a.example"), GrantError::NotAnOrigin(_)));
        assert!(matches!(error("https://"), GrantError::NotAnOrigin(_)));
        assert_eq!(error("ftp://a.example"), GrantError::Scheme);
        assert_eq!(error("a.example:443"), GrantError::Scheme);
        for text in [
            "https://a.example/",
            "https://a.example/x",
            "https://a.example?x",
            "https://a.example#x",
            "https://user@a.example",
            "https://@a.example",
            "https:a.example",
            "https:\\\\a.example",
            " https://a.example ",
        ] {
            assert_eq!(error(text), GrantError::TooMuch, "{text}");
        }
        for text in [
            "https://*",
            "https://*.",
            "https://a.*.b",
            "https://*a.b",
            "https://*.*.b",
        ] {
            assert_eq!(error(text), GrantError::Wildcard, "{text}");
        }
        assert_eq!(error("http://127.0.0.1"), GrantError::Private);
        assert_eq!(error("http://2130706433"), GrantError::Private);
        assert_eq!(error("http://[::ffff:10.0.0.1]"), GrantError::Private);
        assert_eq!(error("http://0.0.0.0"), GrantError::NoServer);
        let grant = Grant::parse("https://a.example", false).unwrap();
        assert!(matches!(grant.clone().with_ca(b""), Err(GrantError::Ca(_))));
        assert!(matches!(
            grant.with_ca(b"-----BEGIN"),
            Err(GrantError::Ca(_))
        ));
    }
}
