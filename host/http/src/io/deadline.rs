//! The time that a request head may take as a whole.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Counts the heads of a connection: even while one is awaited, odd while its request is served.
#[derive(Debug, Default)]
pub(crate) struct HeadClock {
    heads: AtomicU32,
    /// The connection ends with the present response.
    last: AtomicBool,
    /// The last response is whole, and ends the connection.
    answered: AtomicBool,
}

impl HeadClock {
    /// A head was read.
    pub(crate) fn head_is_read(&self) {
        self.heads.fetch_or(1, Ordering::Relaxed);
    }

    /// The request is done; the next head may come.
    pub(crate) fn request_is_done(&self) {
        let now = self.now();
        if now & 1 == 1 {
            self.heads.store(now.wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// The connection is to end with the response to the present request.
    pub(crate) fn response_is_last(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_last_response(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// The connection ends with a response that was sent to its end.
    pub(crate) fn is_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Requests that were read.
    pub(crate) fn requests(&self) -> u32 {
        self.now().div_ceil(2)
    }

    /// Whether no response is under way.
    pub(super) fn is_between_responses(&self) -> bool {
        self.now() & 1 == 0 || self.answered.load(Ordering::Relaxed)
    }

    /// Even while a head is awaited.
    pub(super) fn now(&self) -> u32 {
        self.heads.load(Ordering::Relaxed)
    }
}

/// How long a head may take as a whole.
pub(super) struct HeadDeadline {
    pub(super) clock: Arc<HeadClock>,
    timeout: Duration,
    /// The head that `begun` and `timer` are of.
    head: u32,
    begun: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl HeadDeadline {
    /// The time of the first head has begun, whether or not any of it has come.
    pub(super) fn new(clock: Arc<HeadClock>, begun: Instant, timeout: Duration) -> HeadDeadline {
        HeadDeadline {
            head: clock.now(),
            clock,
            timeout,
            begun: Some(begun),
            timer: None,
        }
    }

    /// Called with every read: whether the head's time is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, read: bool, pending: bool) -> Poll<()> {
        let now = self.clock.now();
        if now != self.head {
            self.head = now;
            self.begun = None;
            self.timer = None;
        }
        if now & 1 == 1 {
            return Poll::Pending;
        }
        if read && self.begun.is_none() {
            self.begun = Some(Instant::now());
        }
        let Some(begun) = self.begun.filter(|_| pending) else {
            return Poll::Pending;
        };
        let end = begun + self.timeout;
        self.timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)))
            .as_mut()
            .poll(cx)
    }

    /// Some of a head has come.
    pub(super) fn begin(&mut self) {
        self.head = self.clock.now();
        self.begun.get_or_insert_with(Instant::now);
    }

    /// Whether a request was served, another may come, and nothing of it has.
    pub(super) fn is_between_requests(&self) -> bool {
        let now = self.clock.now();
        let has_begun = self.head == now && self.begun.is_some();
        now > 0 && now & 1 == 0 && !has_begun && !self.clock.answered.load(Ordering::Relaxed)
    }

    /// As [`HeadDeadline::poll`], for HTTP/2, in which a head that has begun goes before all else: whether
    /// there is one is for the caller to say.
    pub(super) fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
        open: bool,
        pending: bool,
    ) -> Poll<()> {
        if !open {
            self.timer = None;
            return Poll::Pending;
        }
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(self.timeout)));
        match pending {
            true => timer.as_mut().poll(cx),
            false => Poll::Pending,
        }
    }
}
