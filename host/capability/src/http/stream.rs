//! A connection, plain or with TLS, as the HTTP engine takes it.

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

pub(super) struct Stream {
    io: TokioIo<Either<TcpStream, Box<TlsStream<TcpStream>>>>,
    h2: bool,
    /// Its place under the bound on connections.
    _place: Option<OwnedSemaphorePermit>,
}

impl Stream {
    pub(super) fn plain(tcp: TcpStream) -> Stream {
        Stream {
            io: TokioIo::new(Either::Left(tcp)),
            h2: false,
            _place: None,
        }
    }

    pub(super) fn tls(tls: TlsStream<TcpStream>) -> Stream {
        Stream {
            h2: tls.get_ref().1.alpn_protocol() == Some(b"h2"),
            io: TokioIo::new(Either::Right(Box::new(tls))),
            _place: None,
        }
    }

    /// Hold this place until the connection is closed.
    pub(super) fn hold(self, place: OwnedSemaphorePermit) -> Stream {
        Stream {
            _place: Some(place),
            ..self
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        if self.h2 {
            Connected::new().negotiated_h2()
        } else {
            Connected::new()
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, data)
    }
}
