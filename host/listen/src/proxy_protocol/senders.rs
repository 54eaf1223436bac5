//! Whose connection it is, where some of those who connect may say so.

use super::{Invalid, ReadError, Version, read};
use crate::{Connection, Refused};
use ipnet::IpNet;
use std::net::SocketAddr;

/// From whom a listener takes headers, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Senders {
    /// Networks of the load balancers in front. On a Unix socket everybody is trusted: who can connect is
    /// decided by the socket's permissions.
    pub trust: Vec<IpNet>,
    /// The versions that are read.
    pub accept: Vec<Version>,
    /// Whether they may leave the header out.
    pub optional: bool,
}

impl Senders {
    fn trust(&self, peer: Option<SocketAddr>) -> bool {
        let trusted = |peer: SocketAddr| {
            let ip = peer.ip().to_canonical();
            self.trust.iter().any(|network| network.contains(&ip))
        };
        peer.is_none_or(trusted)
    }
}

impl Connection {
    /// Find out who the client is, and count the connection as one of its own. From a trusted sender
    /// this waits for a header, without end: the caller has a deadline. Nothing is read from others.
    ///
    /// A sender of headers has no cap of its own. Whom it names has; and where the header is optional, whoever
    /// has sent none (yet), for that may be any client.
    ///
    /// # Errors
    /// The header that has to be there is not, or is wrong, or the client has reached its cap.
    pub async fn identify(&mut self, senders: Option<&Senders>) -> Result<(), Refused> {
        let Some(senders) = senders.filter(|senders| senders.trust(self.peer)) else {
            return self.count();
        };
        if senders.optional {
            self.count()?;
        }
        match read(&mut self.stream, &senders.accept).await {
            Ok(header) => {
                self.tlvs = header.tlvs;
                let Some(addresses) = header.addresses else {
                    self.slot.count_for_nobody();
                    return Ok(());
                };
                self.client = Some(addresses.source);
                self.destination = Some(addresses.destination);
                self.count()
            }
            Err(ReadError::Invalid(Invalid::Missing)) if senders.optional => Ok(()),
            // A balancer that looks whether somebody listens. There is nothing to refuse.
            Err(ReadError::Nothing) => Ok(()),
            Err(error) => {
                tracing::debug!(peer = ?self.peer, %error, "no PROXY protocol header");
                Err(Refused::ProxyProtocol)
            }
        }
    }

    fn count(&mut self) -> Result<(), Refused> {
        self.client
            .map_or(Ok(()), |client| self.slot.count(client.ip()))
    }
}
