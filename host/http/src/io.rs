//! A connection's bytes, as Pingora reads and writes them.
//!
//! Three things are ours. Writes are gathered until they are flushed or Pingora waits for something, so
//! that a head and a short body are one system call, in a buffer that is given back while the connection
//! is idle (Pingora's own streams keep 87 KiB each). A head has a deadline as a whole: Pingora's read
//! timeout starts anew with every byte, so a client could send one a minute for ever. And a client that
//! does not read is not waited for longer than the write timeout, in any protocol.

use crate::head_scan::HeadScan;
use crate::takeable::Takeable;
use async_trait::async_trait;
use bytes::{Buf, Bytes};
use pingora::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use tidegate_listen::Stream;
use tidegate_listen::tls::Alpn;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The answer to a head that is not read any further.
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: text/plain; charset=utf-8\r\n\
content-length: 34\r\n\
connection: close\r\n\
\r\n\
400 the request head is not valid\n";

/// How long, and for how many bytes, a client may go on sending after the last response.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;

/// Writes are gathered up to this size.
const GATHER: usize = 16 * 1024;

/// Counts the heads of a connection: even while one is awaited, odd while its request is served.
#[derive(Debug, Default)]
pub(crate) struct HeadClock(AtomicU32);

impl HeadClock {
    /// A head was read.
    pub(crate) fn head_is_read(&self) {
        self.0.fetch_or(1, Ordering::Relaxed);
    }

    /// The request is done; the next head may come.
    pub(crate) fn request_is_done(&self) {
        let now = self.0.load(Ordering::Relaxed);
        if now & 1 == 1 {
            self.0.store(now.wrapping_add(1), Ordering::Relaxed);
        }
    }

    fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The bytes of a connection.
pub(crate) struct Io {
    stream: Takeable,
    /// Read while the protocol was found out.
    first: Bytes,
    gathered: Vec<u8>,
    stall: Stall,
    deadline: HeadDeadline,
    scan: HeadScan,
    protocol: Protocol,
    socket: Arc<SocketDigest>,
    since: SystemTime,
    /// Once our side is closed.
    linger: Option<Linger>,
}

/// What the connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    /// As TLS agrees on it.
    pub(crate) fn alpn(self) -> Alpn {
        match self {
            Protocol::Http1 => Alpn::Http1,
            Protocol::Http2 => Alpn::H2,
        }
    }
}

/// How long the client has not read what we write.
struct Stall {
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

/// The times that a connection's bytes are held to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    pub(crate) head: Duration,
    pub(crate) write: Duration,
}

struct HeadDeadline {
    clock: Arc<HeadClock>,
    timeout: Duration,
    /// The head that `begun` and `timer` are of.
    head: u32,
    begun: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Io {
    pub(crate) fn new(
        stream: Stream,
        peer: Option<SocketAddr>,
        first: Bytes,
        protocol: Protocol,
        clock: Arc<HeadClock>,
        deadlines: Deadlines,
    ) -> Io {
        let socket = SocketDigest::from_raw_fd(stream.as_raw_fd());
        // Never set before: it is new.
        let _ = socket.peer_addr.set(peer.map(PingoraAddress::Inet));
        Io {
            stream: Takeable::new(stream),
            first,
            gathered: Vec::new(),
            stall: Stall {
                timeout: deadlines.write,
                timer: None,
            },
            deadline: HeadDeadline {
                head: clock.now(),
                clock,
                timeout: deadlines.head,
                begun: Some(Instant::now()),
                timer: None,
            },
            scan: HeadScan::default(),
            protocol,
            socket: Arc::new(socket),
            since: SystemTime::now(),
            linger: None,
        }
    }

    /// Whether the client has closed the connection, or its side of it.
    pub(crate) fn is_gone(&self) -> bool {
        self.stream.is_closed_by_peer()
    }

    /// Take the socket, for what is no longer HTTP. What was read before, and not by Pingora, comes with
    /// the next reads, and then the end.
    pub(crate) fn take(&self) -> Option<Stream> {
        self.stream.take()
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut written = 0;
        while let Some(rest) = self.gathered.get(written..).filter(|r| !r.is_empty()) {
            match self.stall.poll_write(&mut self.stream, cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => written += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.gathered.drain(..written);
                    return Poll::Pending;
                }
            }
        }
        if !self.gathered.is_empty() {
            self.gathered = Vec::new();
        }
        // TLS takes more than the socket does.
        self.stall.poll_flush(&mut self.stream, cx)
    }
}

impl Stall {
    /// Write, or fail when nothing could be written for too long.
    fn poll_write(
        &mut self,
        stream: &mut Takeable,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(stream).poll_write(cx, bytes);
        self.unless_late(written, cx)
    }

    /// Send what TLS holds, at most a record, or fail in the same way.
    fn poll_flush(&mut self, stream: &mut Takeable, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(stream).poll_flush(cx);
        self.unless_late(flushed, cx)
    }

    fn unless_late<T>(
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
            let text = "the client did not read in time";
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}

impl HeadDeadline {
    /// Called with every read: whether the head's time is over.
    fn poll(&mut self, cx: &mut Context<'_>, read: bool, pending: bool) -> Poll<()> {
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
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Pingora waits for the client or an upstream: what is there goes out now.
        if let Poll::Ready(Err(error)) = this.poll_write_out(cx) {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        let answer = if this.first.has_remaining() {
            let count = this.first.remaining().min(buffer.remaining());
            buffer.put_slice(&this.first.split_to(count));
            Poll::Ready(Ok(()))
        } else {
            end_where_it_was_not_announced(Pin::new(&mut this.stream).poll_read(cx, buffer))
        };
        if this.protocol == Protocol::Http2 {
            return answer;
        }
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        let head = this.deadline.clock.now();
        if head & 1 == 0 && !this.scan.accepts(head, bytes) {
            // Pingora would read on, or see another request than was sent.
            this.stream.write_last_now(BAD_REQUEST);
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the request head is not valid",
            )));
        }
        match this
            .deadline
            .poll(cx, !bytes.is_empty(), answer.is_pending())
        {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the request head did not come in time",
            ))),
            Poll::Pending => answer,
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.gathered.len() + bytes.len() <= GATHER {
            this.gathered.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(this.poll_write_out(cx))?;
        if bytes.len() < GATHER {
            this.gathered.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        this.stall.poll_write(&mut this.stream, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_write_out(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_write_out(cx))?;
        if this.linger.is_none() {
            let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.stall.unless_late(shut, cx))?;
        }
        if this.protocol == Protocol::Http1 {
            let linger = this.linger.get_or_insert_with(Linger::new);
            ready!(linger.poll(&mut this.stream, cx));
        }
        Poll::Ready(Ok(()))
    }
}

/// A response that breaks off is dropped without a flush; what came of it is the client's.
impl Drop for Io {
    fn drop(&mut self) {
        self.stream.write_now(&self.gathered);
    }
}

/// Many clients close TLS without saying so. Requests say themselves where they end, so one that was cut
/// off is noticed anyway.
fn end_where_it_was_not_announced(read: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
    match read {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Poll::Ready(Ok(()))
        }
        read => read,
    }
}

#[async_trait]
impl Shutdown for Io {
    async fn shutdown(&mut self) {
        // The client may be gone already.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

/// What is left of a connection after the last response.
struct Linger {
    timer: Pin<Box<Sleep>>,
    left: usize,
}

impl Linger {
    fn new() -> Linger {
        Linger {
            timer: Box::pin(tokio::time::sleep(LINGER)),
            left: LINGER_BYTES,
        }
    }

    /// Read what the client still sends, and throw it away: to close a connection with unread data resets
    /// it, and what the client has not read of the response yet is lost (RFC 9112 §9.6).
    fn poll(&mut self, stream: &mut Takeable, cx: &mut Context<'_>) -> Poll<()> {
        let mut rest = [0; 4096];
        loop {
            if self.timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut rest);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            let count = buffer.filled().len();
            self.left = self.left.saturating_sub(count);
            if read.is_err() || count == 0 || self.left == 0 {
                return Poll::Ready(());
            }
        }
    }
}

impl UniqueID for Io {
    fn id(&self) -> UniqueIDType {
        self.stream.as_raw_fd()
    }
}

impl Ssl for Io {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        // This is how Pingora is told to speak h2, on plain connections too.
        (self.protocol == Protocol::Http2).then_some(ALPN::H2)
    }
}

impl GetTimingDigest for Io {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest {
            established_ts: self.since,
            ..TimingDigest::default()
        })]
    }
}

impl GetProxyDigest for Io {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Io {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }
}

impl Peek for Io {}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io")
            .field("stream", &self.stream)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
