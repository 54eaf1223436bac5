//! A [`Connector`] as Pingora calls it.

use super::kept::{Kept, Lent};
use super::{ConnectError, Connected, Connector, Plain, ProxiedFor};
use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Connects to a peer for an exchange.
#[derive(Debug)]
pub(crate) struct Dial {
    /// How the peer is connected to.
    pub(crate) connector: Arc<Connector>,
    /// Whom the PROXY header names.
    pub(crate) client: Option<ProxiedFor>,
    /// Connections of exchanges before, where they may serve any client.
    pub(crate) kept: Arc<Kept>,
    /// The connection, once there is one with TLS.
    pub(crate) lent: Arc<OnceLock<Arc<Lent>>>,
}

#[async_trait]
impl L4Connect for Dial {
    async fn connect(&self, _: &SocketAddr) -> pingora::Result<Stream> {
        let (connection, reused) = match self.kept.take() {
            Some(kept) => (kept, true),
            None => match self.connector.connect(self.client.as_ref()).await {
                Ok(Connected::Left(Plain::Left(stream))) => return Ok(stream.into()),
                Ok(Connected::Left(Plain::Right(stream))) => return Ok(stream.into()),
                Ok(Connected::Right(stream)) => (stream, false),
                Err(error) => return Err(error.into()),
            },
        };
        let lent = Lent::new(connection, reused, self.kept.clone());
        // Pingora asks once for a peer, and gets another for another attempt.
        let _ = self.lent.set(lent.clone());
        Ok(VirtualSocketStream::new(Box::new(Secured(lent))).into())
    }
}

impl From<ConnectError> for Box<Error> {
    fn from(error: ConnectError) -> Box<Error> {
        Error::because(kind(&error), "to connect", error)
    }
}

/// What Pingora's retries and our statuses go by.
fn kind(error: &ConnectError) -> ErrorType {
    match error {
        ConnectError::Timeout(_) => ErrorType::ConnectTimedout,
        ConnectError::Connect(_) => ErrorType::ConnectError,
        ConnectError::Certificate(_) => ErrorType::InvalidCert,
        ConnectError::Tls(_) | ConnectError::Protocol => ErrorType::TLSHandshakeFailure,
    }
}

/// A connection with TLS as Pingora takes it.
#[derive(Debug)]
struct Secured(Arc<Lent>);

impl Drop for Secured {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl VirtualSocket for Secured {
    /// The socket has its options already.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(|tls| tls.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write(|tls| tls.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.end();
        self.0.poll_write(|tls| tls.poll_shutdown(cx))
    }
}
