//! The end of a connection of HTTP/1.1.

use super::Bounds;
use crate::takeable::Takeable;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

/// What is left of a connection after the last response.
pub(super) struct Linger {
    timer: Pin<Box<Sleep>>,
    left: usize,
}

/// How it ended.
#[derive(Debug, PartialEq)]
pub(super) enum Lingered {
    /// The client has closed the connection.
    ToTheEnd,
    /// The client went on for longer, or with more, than it may.
    TooLong,
}

impl Linger {
    pub(super) fn new(bounds: &Bounds) -> Linger {
        Linger {
            timer: Box::pin(tokio::time::sleep(bounds.linger_time)),
            left: bounds.linger_bytes,
        }
    }

    /// Read what the client still sends, and throw it away: to close a connection with unread data resets
    /// it, and what the client has not read of the response yet is lost (RFC 9112 §9.6).
    pub(super) fn poll(&mut self, stream: &mut Takeable, cx: &mut Context<'_>) -> Poll<Lingered> {
        let mut rest = [0; 4096];
        loop {
            if self.timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Lingered::TooLong);
            }
            let mut buffer = ReadBuf::new(&mut rest);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            let count = buffer.filled().len();
            if read.is_err() || count == 0 {
                return Poll::Ready(Lingered::ToTheEnd);
            }
            self.left = self.left.saturating_sub(count);
            if self.left == 0 {
                return Poll::Ready(Lingered::TooLong);
            }
        }
    }
}
