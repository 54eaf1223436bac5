//! A client that does not read what it is sent.

use crate::abuse::Cut;
use crate::guard::Guard;
use crate::takeable::Takeable;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::time::Sleep;

/// How long the client has not read what we write.
pub(super) struct Stall {
    guard: Arc<Guard>,
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(super) fn new(guard: Arc<Guard>, timeout: Duration) -> Stall {
        Stall {
            guard,
            timeout,
            timer: None,
        }
    }

    /// What begins to be waited for from now on may take so long.
    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Write, or fail when nothing could be written for too long.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut Takeable,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(stream).poll_write(cx, bytes);
        self.unless_late(written, cx)
    }

    /// As [`Stall::poll_write`], of several parts.
    pub(super) fn poll_write_vectored(
        &mut self,
        stream: &mut Takeable,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(stream).poll_write_vectored(cx, parts);
        self.unless_late(written, cx)
    }

    /// Send what TLS holds, at most a record, or fail in the same way.
    pub(super) fn poll_flush(
        &mut self,
        stream: &mut Takeable,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let flushed = Pin::new(stream).poll_flush(cx);
        self.unless_late(flushed, cx)
    }

    /// What was done, or an error once it was waited for too long.
    pub(super) fn unless_late<T>(
        &mut self,
        done: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.timer = None;
            return done;
        }
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(self.timeout)));
        timer.as_mut().poll(cx).map(|()| {
            self.guard.cut(Cut::WriteTimeout);
            let text = "the client did not read in time";
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}
