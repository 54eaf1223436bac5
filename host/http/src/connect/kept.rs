//! Connections with TLS that wait for their next exchange.
//!
//! Pingora 0.9.1 looks a pooled connection up by its descriptor, and a stream that it did not make itself
//! has none for it: such a stream goes into its pool and is never found there. So Pingora gets a stream that
//! is [lent](Lent). When the exchange is over and Pingora has neither closed nor dropped it, Pingora
//! has judged that it can be used again; then the connection is taken back and kept here.

use super::Plain;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_rustls::client::TlsStream;

/// A connection with TLS.
pub(super) type Tls = Box<TlsStream<Plain>>;

/// The idle connections of a peer, the one that waits longest first.
#[derive(Debug)]
pub(crate) struct Kept {
    idle: Mutex<Vec<(Instant, Tls)>>,
    most: usize,
    timeout: Duration,
    sweeping: AtomicBool,
}

impl Kept {
    /// At most so many, for so long each.
    pub(crate) fn new(most: usize, timeout: Duration) -> Arc<Kept> {
        Arc::new(Kept {
            idle: Mutex::default(),
            most,
            timeout,
            sweeping: AtomicBool::new(false),
        })
    }

    /// Whether any are kept.
    pub(crate) fn keeps(&self) -> bool {
        self.most > 0
    }

    /// The one that was used last, if the peer has neither closed it nor sent anything meanwhile.
    pub(super) fn take(&self) -> Option<Tls> {
        loop {
            let (_, mut connection) = lock(&self.idle).pop()?;
            if is_quiet(&mut connection) {
                return Some(connection);
            }
        }
    }

    fn put(self: &Arc<Kept>, connection: Tls) {
        let mut idle = lock(&self.idle);
        if idle.len() >= self.most {
            idle.remove(0);
        }
        idle.push((Instant::now(), connection));
        drop(idle);
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            tokio::spawn(self.clone().sweep());
        }
    }

    /// Close what waits too long, until nothing waits.
    async fn sweep(self: Arc<Kept>) {
        loop {
            tokio::time::sleep(self.timeout).await;
            let mut idle = lock(&self.idle);
            idle.retain(|(since, _)| since.elapsed() < self.timeout);
            if idle.is_empty() {
                // Under the lock: who puts one in after this starts another.
                self.sweeping.store(false, Ordering::Release);
                return;
            }
        }
    }
}

/// A connection that Pingora has for an exchange.
#[derive(Debug)]
pub(crate) struct Lent {
    /// Whether it served an exchange before.
    pub(crate) reused: bool,
    kept: Arc<Kept>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once it was taken back.
    connection: Option<Tls>,
    /// Closed or dropped by Pingora.
    ended: bool,
    /// Waits for data: Pingora, which watches what is in its pool.
    reader: Option<Waker>,
}

impl Lent {
    pub(super) fn new(connection: Tls, reused: bool, kept: Arc<Kept>) -> Arc<Lent> {
        Arc::new(Lent {
            reused,
            kept,
            state: Mutex::new(State {
                connection: Some(connection),
                ended: false,
                reader: None,
            }),
        })
    }

    /// The exchange is over: keep the connection, if it can be used again.
    pub(crate) fn take_back(&self) {
        let mut state = lock(&self.state);
        if state.ended {
            return;
        }
        let connection = state.connection.take();
        // Pingora reads the end, and drops its stream.
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        if let Some(connection) = connection {
            self.kept.put(connection);
        }
    }

    /// Pingora is done with it.
    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        let Some(connection) = &mut state.connection else {
            return Poll::Ready(Ok(()));
        };
        let read = Pin::new(connection).poll_read(cx, buffer);
        if read.is_pending() {
            state.reader = Some(cx.waker().clone());
        }
        read
    }

    /// Write, flush or close it.
    pub(super) fn poll_write<T>(
        &self,
        poll: impl FnOnce(Pin<&mut Tls>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut lock(&self.state).connection {
            Some(connection) => poll(Pin::new(connection)),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

/// Whether there is nothing to read: the peer has neither closed an idle connection nor sent anything on it. Reads what
/// TLS itself has to say, such as new tickets.
pub(crate) fn is_quiet(connection: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    let mut nobody = Context::from_waker(Waker::noop());
    let read = poll_fn(|cx| Pin::new(&mut *connection).poll_read(cx, &mut buffer));
    // Otherwise a task that has done much would be told to wait, whatever there is.
    pin!(tokio::task::unconstrained(read))
        .poll(&mut nobody)
        .is_pending()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
