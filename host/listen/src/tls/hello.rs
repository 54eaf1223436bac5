//! Reading what a client says first, within bounds.

use super::failed::{Failed, Refused};
use crate::Plain;
use rustls::server::{Accepted, Acceptor};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::LazyConfigAcceptor;

/// What a record of a handshake begins with (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// The answer to HTTP without TLS.
const USE_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: text/plain; charset=utf-8\r\n\
content-length: 37\r\n\
connection: close\r\n\
\r\n\
400 this port is for https, not http\n";

/// How much is read of what a client that is refused still sends, and for how long.
const UNREAD_BYTES: u64 = 64 * 1024;
const UNREAD_TIME: Duration = Duration::from_secs(1);

/// Read a ClientHello of no more than `limit` bytes, those of its records' heads among them: it can come in
/// records of a byte each.
pub(super) async fn read(plain: &mut Plain, limit: usize) -> Result<Accepted, Failed> {
    // The engine takes a buffer before it looks for bytes: not for a client that says nothing.
    let readable = plain.readable().await;
    readable.map_err(|error| Failed::of(&error))?;
    let mut metered = Metered {
        plain,
        left: limit,
        is_first: true,
        refused: None,
    };
    let hello = LazyConfigAcceptor::new(Acceptor::default(), &mut metered).await;
    let hello = hello.map(|start| start.accepted);
    match (hello, metered.refused) {
        (Ok(accepted), _) => Ok(accepted),
        (Err(_), Some(Refused::Plaintext)) => {
            // Who is gone was served, too.
            let _ = plain.write_all(USE_HTTPS).await;
            linger(plain).await;
            Err(Refused::Plaintext.into())
        }
        (Err(_), Some(refused)) => Err(refused.into()),
        (Err(error), None) => Err(Failed::of(&error)),
    }
}

/// Close after an answer, or an alert. To close with unread data would take it back: a client sends its first
/// request with the end of its handshake.
pub(super) async fn linger(plain: &mut Plain) {
    if plain.shutdown().await.is_err() {
        return;
    }
    let mut rest = plain.take(UNREAD_BYTES);
    let mut nowhere = tokio::io::sink();
    let read = tokio::io::copy(&mut rest, &mut nowhere);
    let _ = tokio::time::timeout(UNREAD_TIME, read).await;
}

/// A socket of which only so much may be read, and only what looks like TLS.
struct Metered<'a> {
    plain: &'a mut Plain,
    left: usize,
    /// Nothing was read yet.
    is_first: bool,
    refused: Option<Refused>,
}

impl Metered<'_> {
    fn refuse(&mut self, refused: Refused) -> io::Error {
        self.refused = Some(refused);
        io::ErrorKind::InvalidData.into()
    }
}

impl AsyncRead for Metered<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(Err(this.refuse(Refused::ClientHello)));
        }
        let most = buffer.remaining().min(this.left);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut *this.plain).poll_read(cx, &mut part))?;
        let read = part.filled();
        let (count, first) = (read.len(), read.first().copied());
        this.left -= count;
        if let Some(first) = first.filter(|first| this.is_first && *first != HANDSHAKE) {
            let is_http = first.is_ascii_alphabetic();
            let refused = if is_http {
                Refused::Plaintext
            } else {
                Refused::Tls
            };
            return Poll::Ready(Err(this.refuse(refused)));
        }
        this.is_first = false;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// An alert about the hello.
impl AsyncWrite for Metered<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().plain).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().plain).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().plain).poll_shutdown(cx)
    }
}
