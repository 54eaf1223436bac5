//! Why a handshake came to nothing, in numbers and in words.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
use std::io;

/// Why a connection is closed in its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There are too many already.
    #[error("too many handshakes at once")]
    Handshakes,
    /// There are too many already of this client.
    #[error("too many handshakes at once from one address")]
    HandshakesPerAddress,
    /// It takes too long.
    #[error("the handshake took too long")]
    Timeout,
    /// The ClientHello is too large.
    #[error("the ClientHello is too large")]
    ClientHello,
    /// It is HTTP without TLS.
    #[error("HTTP without TLS")]
    Plaintext,
    /// There is no certificate for the name.
    #[error("no certificate for the name")]
    UnknownName,
    /// Nothing of what the client wants to speak is spoken here.
    #[error("no application protocol in common")]
    ApplicationProtocol,
    /// The client's certificate is missing or not accepted.
    #[error("the client's certificate is missing or not accepted")]
    ClientCertificate,
    /// Anything else that is not right: versions or suites have nothing in common, or it is not TLS.
    #[error("not TLS as it is spoken here")]
    Tls,
    /// The client went away.
    #[error("the client went away")]
    Gone,
    /// It was a challenge, and was answered.
    #[error("an answered challenge")]
    Challenge,
}

/// A handshake that came to nothing.
#[derive(Debug)]
pub struct Failed {
    /// Why, as it is counted.
    pub refused: Refused,
    /// The name that the client asked for, where it came so far.
    pub server_name: Option<Box<str>>,
    /// What it was in particular, where more is known, for whoever has to mend it.
    pub cause: Option<Box<str>>,
}

impl Failed {
    /// From what the engine says.
    pub(super) fn of(error: &io::Error) -> Failed {
        let inner = error.get_ref();
        let Some(said) = inner.and_then(|inner| inner.downcast_ref::<Error>()) else {
            // More at once than the engine holds.
            let is_too_much = error.kind() == io::ErrorKind::InvalidData;
            return Failed::from(if is_too_much {
                Refused::Tls
            } else {
                Refused::Gone
            });
        };
        let refused = match said {
            Error::InvalidCertificate(_)
            | Error::NoCertificatesPresented
            | Error::AlertReceived(AlertDescription::CertificateRequired) => {
                Refused::ClientCertificate
            }
            Error::NoApplicationProtocol => Refused::ApplicationProtocol,
            _ => Refused::Tls,
        };
        Failed::from(refused).because(words(said))
    }

    pub(super) fn because(mut self, cause: impl Into<Box<str>>) -> Failed {
        self.cause = Some(cause.into());
        self
    }

    pub(super) fn asked_for(mut self, name: Option<Box<str>>) -> Failed {
        self.server_name = name;
        self
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Failed {
        Failed {
            refused,
            server_name: None,
            cause: None,
        }
    }
}

/// What the engine's error means for whoever runs the listener.
fn words(error: &Error) -> String {
    let words = match error {
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown,
        ) => {
            "the client does not trust our certificate: it may be self-signed, or lack its intermediates"
        }
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "for the client our certificate has expired"
        }
        Error::NoCertificatesPresented => "the client has sent no certificate",
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the client's certificate is not by the authorities in `client_certificates.ca`"
        }
        // What `openssl x509 -req` makes unless it is told otherwise.
        Error::InvalidCertificate(CertificateError::Other(other))
            if other.to_string().contains("UnsupportedCertVersion") =>
        {
            "the client's certificate is of version 1; make one of version 3, with extensions"
        }
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            // What the engine misses first in a client of TLS 1.1.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::Tls13RequiredForQuic,
        ) => "the client speaks none of the versions of `min_version` to `max_version`",
        Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoSignatureSchemesInCommon,
        ) => {
            "no cipher suite or signature in common; see `cipher_suites`, and the kind of the certificate's key"
        }
        Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon) => {
            "no key exchange in common; see `key_exchange`"
        }
        other => return other.to_string(),
    };
    format!("{words} ({error})")
}
