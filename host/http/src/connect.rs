//! Connections to peers: TCP or a Unix socket, a PROXY protocol header where the upstream wants one, TLS
//! where it speaks it.
//!
//! [`Connector`] is complete in itself. Where a peer speaks HTTP/2, Pingora gets it as a [`Dial`], for peers with TLS or a
//! PROXY header; others of HTTP/2 it connects to itself.

mod dial;
mod error;
mod tls;
mod unverified;

pub(crate) use dial::Dial;
pub use error::ConnectError;
pub use tls::{ClientTls, TlsError, TlsOptions};

use crate::peer::PeerAddress;
use pingora::protocols::l4::ext::{TcpKeepalive, set_tcp_keepalive};
use rustls_pki_types::ServerName;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use tidegate_listen::proxy_protocol::{self, Addresses, Tlvs, Version};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// When probes are sent to a peer that is silent: after as long as to clients by default, then as the system's
/// defaults have it. A peer that is gone without a word is noticed in 12 minutes.
pub(crate) const KEEPALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(75),
    count: 9,
    user_timeout: Duration::ZERO,
};

/// A connection before TLS.
pub type Plain = Either<TcpStream, UnixStream>;

/// A connection to a peer, ready for HTTP.
pub type Connected = Either<Plain, Box<TlsStream<Plain>>>;

/// Makes connections to one peer.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Where the peer is.
    pub address: PeerAddress,
    /// The version of the PROXY protocol header that each connection begins with.
    pub proxy: Option<Version>,
    /// TLS, and the name that the peer's certificate has to be for.
    pub tls: Option<(Arc<ClientTls>, ServerName<'static>)>,
    /// What all of it may take together.
    pub timeout: Duration,
}

/// The connection of a client that is passed on to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProxiedFor {
    /// The client, as it was resolved.
    pub source: SocketAddr,
    /// Where the client connected to.
    pub destination: SocketAddr,
}

impl Connector {
    /// Connect. A PROXY header, where the upstream wants one, says that it is for this client; for none (a
    /// client on a Unix socket) it says that the proxy speaks for itself.
    ///
    /// # Errors
    /// The peer cannot be reached in time, or is not whom TLS has to find there.
    pub async fn connect(&self, client: Option<&ProxiedFor>) -> Result<Connected, ConnectError> {
        let connecting = self.connect_without_limit(client);
        tokio::time::timeout(self.timeout, connecting)
            .await
            .unwrap_or(Err(ConnectError::Timeout(self.timeout)))
    }

    async fn connect_without_limit(
        &self,
        client: Option<&ProxiedFor>,
    ) -> Result<Connected, ConnectError> {
        let mut plain = match &self.address {
            PeerAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await;
                let stream = stream.map_err(ConnectError::Connect)?;
                stream.set_nodelay(true).map_err(ConnectError::Connect)?;
                // What cannot be set is a socket that is gone already: who uses it finds out.
                let _ = set_tcp_keepalive(&stream, &KEEPALIVE);
                Either::Left(stream)
            }
            PeerAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                Either::Right(stream.map_err(ConnectError::Connect)?)
            }
        };
        if let Some(version) = self.proxy {
            let header = proxy_header(version, client);
            let sent = plain.write_all(&header).await;
            sent.map_err(ConnectError::Connect)?;
        }
        let Some((tls, name)) = &self.tls else {
            return Ok(Either::Left(plain));
        };
        let connector = TlsConnector::from(tls.config.clone());
        let stream = connector.connect(name.clone(), plain).await;
        let stream = stream.map_err(ConnectError::from_handshake)?;
        tls.check_protocol(stream.get_ref().1.alpn_protocol())?;
        Ok(Either::Right(Box::new(stream)))
    }
}

fn proxy_header(version: Version, client: Option<&ProxiedFor>) -> Vec<u8> {
    let addresses = client.map(|client| Addresses {
        source: client.source,
        destination: client.destination,
    });
    proxy_protocol::write(version, addresses.as_ref(), &Tlvs::default())
}

/// Whether there is nothing to read: the peer has neither closed an idle connection nor sent anything on it. Reads what
/// TLS itself has to say, such as new tickets.
pub(crate) fn is_quiet(connection: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    let mut nobody = Context::from_waker(Waker::noop());
    let read = poll_fn(|cx| Pin::new(&mut *connection).poll_read(cx, &mut buffer));
    // Otherwise a task that has done much would be told to wait, whatever there is.
    pin!(tokio::task::unconstrained(read))
        .poll(&mut nobody)
        .is_pending()
}
