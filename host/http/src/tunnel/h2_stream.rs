//! An HTTP/2 stream as bytes both ways: its DATA frames (RFC 8441 §5), within the windows of both sides.

use bytes::{Buf, Bytes};
use h2::{Reason, SendStream};
use pingora::protocols::http::v2::server::HttpSession;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose response head was sent.
pub(super) struct H2Stream<'a> {
    session: &'a mut HttpSession,
    writer: SendStream<Bytes>,
    /// Came, and was not read yet.
    rest: Bytes,
    ended: bool,
}

impl<'a> H2Stream<'a> {
    /// `None` before the head was sent.
    pub(super) fn new(session: &'a mut HttpSession) -> Option<H2Stream<'a>> {
        let writer = session.take_response_body_writer()?;
        Some(H2Stream {
            session,
            writer,
            rest: Bytes::new(),
            ended: false,
        })
    }

    /// End the stream as one that broke.
    pub(super) fn reset(mut self) {
        self.writer.send_reset(Reason::CANCEL);
    }
}

impl AsyncRead for H2Stream<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A DATA frame may be empty, which is no end.
        while this.rest.is_empty() && !this.ended {
            match ready!(this.session.poll_read_body_bytes(cx)) {
                Some(data) => this.rest = data.map_err(broken)?,
                None => this.ended = true,
            }
        }
        let count = this.rest.remaining().min(buffer.remaining());
        buffer.put_slice(&this.rest.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for H2Stream<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let writer = &mut self.get_mut().writer;
        writer.reserve_capacity(bytes.len());
        while writer.capacity() == 0 {
            match ready!(writer.poll_capacity(cx)) {
                Some(capacity) => capacity.map_err(broken)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            };
        }
        let count = writer.capacity().min(bytes.len());
        let data = Bytes::copy_from_slice(bytes.get(..count).unwrap_or_default());
        writer.send_data(data, false).map_err(broken)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection writes by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = self.get_mut().writer.send_data(Bytes::new(), true);
        Poll::Ready(ended.map_err(broken))
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
