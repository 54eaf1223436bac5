//! A [`Connector`] as Pingora calls it.

use super::{ConnectError, Connected, Connector, Plain, ProxiedFor};
use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

/// Connects to a peer for an exchange.
#[derive(Debug)]
pub(crate) struct Dial {
    /// How the peer is connected to.
    pub(crate) connector: Arc<Connector>,
    /// Whom the PROXY header names.
    pub(crate) client: Option<ProxiedFor>,
}

#[async_trait]
impl L4Connect for Dial {
    async fn connect(&self, _: &SocketAddr) -> pingora::Result<Stream> {
        Ok(match self.connector.connect(self.client.as_ref()).await? {
            Connected::Left(Plain::Left(stream)) => stream.into(),
            Connected::Left(Plain::Right(stream)) => stream.into(),
            Connected::Right(stream) => VirtualSocketStream::new(Box::new(Secured(stream))).into(),
        })
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
struct Secured(Box<TlsStream<Plain>>);

impl VirtualSocket for Secured {
    /// The socket has its options already.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
