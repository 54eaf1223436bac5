//! Why there is no connection to a peer.

use std::io;
use std::time::Duration;

/// A connection that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not within the upstream's `timeout.connect`.
    #[error("not connected within {0:?}")]
    Timeout(Duration),
    /// The system says why.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The peer's certificate is not one that it may have.
    #[error("{0}")]
    Certificate(#[source] rustls::Error),
    /// The peer does not accept what it was offered, or does not speak TLS.
    #[error("TLS failed: {0}")]
    Tls(#[source] io::Error),
    /// The peer did not agree to HTTP/2.
    #[error("the peer did not agree to HTTP/2 (ALPN); set `protocol = \"http1\"` if it has none")]
    Protocol,
}

impl ConnectError {
    /// A word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            ConnectError::Timeout(_) => "timeout",
            ConnectError::Connect(_) => "connect",
            ConnectError::Certificate(_) => "certificate",
            ConnectError::Tls(_) => "tls",
            ConnectError::Protocol => "protocol",
        }
    }

    /// All reasons, for metrics that are there before the first failure.
    pub(crate) const REASONS: [&str; 5] = ["timeout", "connect", "certificate", "tls", "protocol"];

    /// Whether the peer was reached, and TLS with it failed.
    pub(crate) fn is_of_tls(&self) -> bool {
        !matches!(self, ConnectError::Timeout(_) | ConnectError::Connect(_))
    }

    /// What a handshake failed with.
    pub(super) fn from_handshake(error: io::Error) -> ConnectError {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                match error.downcast::<rustls::Error>() {
                    Ok(certificate) => ConnectError::Certificate(certificate),
                    Err(error) => ConnectError::Tls(error),
                }
            }
            _ => ConnectError::Tls(error),
        }
    }
}
