//! Reading from a client of HTTP/1, a message at a time.
//!
//! What follows a message while it is served is the next request, sent before the answer to this one (RFC 9112
//! §9.3.2), or an empty line after a body (§2.2). Neither is a mistake of this message. So it is held back here until the message is done.

use super::Io;
use super::scan::Scan;
use bytes::{Buf, BytesMut};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Read at once while a message is served.
const CHUNK: usize = 4 * 1024;

/// What was read from the client, and is for later.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) bytes: BytesMut,
    /// The client's end came after them.
    is_ended: bool,
}

impl Unread {
    pub(super) fn new(bytes: BytesMut) -> Unread {
        Unread {
            bytes,
            is_ended: false,
        }
    }

    /// Whether more waits than empty lines.
    pub(super) fn has_request(&self) -> bool {
        self.bytes.iter().any(|byte| !b"\r\n".contains(byte))
    }

    /// Copy what fits into the buffer; to be followed by [`Unread::advance`].
    pub(super) fn copy_into(&self, buffer: &mut ReadBuf<'_>) {
        let count = self.bytes.len().min(buffer.remaining());
        buffer.put_slice(self.bytes.get(..count).unwrap_or_default());
    }

    /// So much was taken.
    pub(super) fn advance(&mut self, count: usize) {
        self.bytes.advance(count.min(self.bytes.len()));
        if self.bytes.is_empty() {
            // Its room is given back.
            self.bytes = BytesMut::new();
        }
    }
}

impl Io {
    /// Wait for the next message, without the room that it will take; whether any of it has come.
    pub(crate) fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if ready!(self.poll_write_out(cx)).is_err() {
            return Poll::Ready(false);
        }
        if !self.unread.bytes.is_empty() || self.unread.is_ended {
            return Poll::Ready(true);
        }
        let mut space = [MaybeUninit::uninit(); CHUNK];
        let mut chunk = ReadBuf::uninit(&mut space);
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut chunk);
        let is_read = ready!(end_where_it_was_not_announced(read)).is_ok();
        self.unread.bytes.extend_from_slice(chunk.filled());
        Poll::Ready(is_read && !self.unread.bytes.is_empty())
    }

    /// As [`AsyncRead::poll_read`]: bytes of the present message.
    pub(super) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            let number = self.deadline.clock.now();
            if matches!(&self.scan, Scan::Messages(scan) if scan.is_over(number)) {
                return self.poll_after_message(cx);
            }
            let was_unread = !self.unread.bytes.is_empty();
            let answer = self.poll_next(cx, buffer);
            let read = buffer.filled().get(before..).unwrap_or_default();
            let is_end = read.is_empty();
            let message = self.scan_read(read)?;
            if was_unread {
                self.unread.advance(message.end);
            } else {
                let later = read.get(message.end..).unwrap_or_default();
                self.unread.bytes.extend_from_slice(later);
            }
            keep(buffer, before, message);
            let is_read = buffer.filled().len() > before;
            let is_pending = answer.is_pending();
            if self.deadline.poll(cx, is_read, is_pending).is_ready() {
                return Poll::Ready(Err(self.head_is_late()));
            }
            // Empty lines are neither an end nor a beginning.
            if is_read || is_end {
                return answer;
            }
        }
    }

    /// Bytes in the order in which they came.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.bytes.is_empty() {
            self.unread.copy_into(buffer);
            return Poll::Ready(Ok(()));
        }
        if self.unread.is_ended {
            return Poll::Ready(Ok(()));
        }
        end_where_it_was_not_announced(Pin::new(&mut self.stream).poll_read(cx, buffer))
    }

    /// Ready when the client is gone. One that has sent another request is not, though it has ended its side.
    fn poll_after_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); CHUNK];
        while !self.unread.is_ended && self.unread.bytes.len() < self.bounds.pipelined {
            let mut chunk = ReadBuf::uninit(&mut space);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut chunk);
            ready!(end_where_it_was_not_announced(read))?;
            if !chunk.filled().is_empty() {
                self.unread.bytes.extend_from_slice(chunk.filled());
            } else if self.unread.has_request() {
                self.unread.is_ended = true;
            } else {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }
}

/// Of what was filled in after `start`, keep this range.
fn keep(buffer: &mut ReadBuf<'_>, start: usize, range: Range<usize>) {
    if let Some(read) = buffer.filled_mut().get_mut(start..)
        && range.start > 0
    {
        read.copy_within(range.clone(), 0);
    }
    buffer.set_filled(start + range.len());
}

/// Many clients close TLS without saying so. Requests say themselves where they end, so one that was cut
/// off is noticed anyway.
pub(super) fn end_where_it_was_not_announced(read: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
    match read {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Poll::Ready(Ok(()))
        }
        read => read,
    }
}
