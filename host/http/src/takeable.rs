//! A stream that can be taken out through a shared reference, from a session that stays for the log. Once it was taken, reads end and writes fail.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use tidegate_listen::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The lock is never waited for: one task has the stream.
#[derive(Debug)]
pub(crate) struct Takeable(Mutex<Option<Stream>>);

impl Takeable {
    pub(crate) fn new(stream: Stream) -> Takeable {
        Takeable(Mutex::new(Some(stream)))
    }

    pub(crate) fn take(&self) -> Option<Stream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Write what fits without waiting, for a connection that is given up.
    pub(crate) fn write_now(&mut self, bytes: &[u8]) {
        if let Some(stream) = self.get_mut() {
            stream.write_now(bytes);
        }
    }

    /// As [`Takeable::write_now`], for the last of what was to come.
    pub(crate) fn write_last_now(&mut self, bytes: &[u8]) {
        if let Some(stream) = self.get_mut() {
            stream.write_last_now(bytes);
        }
    }

    /// Whether the peer has closed the connection, or its side of it.
    pub(crate) fn is_closed_by_peer(&self) -> bool {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.as_ref().is_none_or(Stream::is_closed_by_peer)
    }

    fn get_mut(&mut self) -> Option<&mut Stream> {
        let stream = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        stream.as_mut()
    }
}

impl AsRawFd for Takeable {
    /// -1 once the stream was taken.
    fn as_raw_fd(&self) -> RawFd {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }
}

impl AsyncRead for Takeable {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut().get_mut() {
            Some(stream) => Pin::new(stream).poll_read(cx, buffer),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Takeable {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut().get_mut() {
            Some(stream) => Pin::new(stream).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut().get_mut() {
            Some(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().get_mut() {
            Some(stream) => Pin::new(stream).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().get_mut() {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
