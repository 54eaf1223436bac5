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
use tokio_util::either::Either;

/// Connects to a peer for a client.
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
        match self.connector.connect(self.client.as_ref()).await {
            Ok(Connected::Left(Plain::Left(stream))) => Ok(stream.into()),
            Ok(Connected::Left(Plain::Right(stream))) => Ok(stream.into()),
            Ok(Connected::Right(stream)) => {
                Ok(VirtualSocketStream::new(Box::new(Secured(stream))).into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// With the type that retries and our statuses go by.
impl From<ConnectError> for Box<Error> {
    fn from(error: ConnectError) -> Box<Error> {
        let kind = match error {
            ConnectError::Timeout(_) => ErrorType::ConnectTimedout,
            ConnectError::Connect(_) => ErrorType::ConnectError,
            ConnectError::Certificate(_) => ErrorType::InvalidCert,
            ConnectError::Tls(_) | ConnectError::Protocol => ErrorType::TLSHandshakeFailure,
        };
        Error::because(kind, "to connect", error)
    }
}

/// A TLS connection as Pingora takes it.
#[derive(Debug)]
struct Secured(Box<TlsStream<Plain>>);

impl VirtualSocket for Secured {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        let socket = match self.0.get_ref().0 {
            Either::Left(socket) => socket,
            Either::Right(_) => return Ok(()),
        };
        match option {
            VirtualSockOpt::NoDelay => socket.set_nodelay(true),
            // Nobody asks for it.
            _ => Ok(()),
        }
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
