//! A connection's bytes, as they are read and written above: by Pingora in HTTP/2, by [`crate::http1`].
//!
//! Three things are ours. Writes are gathered until they are flushed or something is waited for, so
//! that a head and a short body are one system call, in a buffer that is given back while the connection
//! is idle (Pingora's own streams keep 87 KiB each). A head has a deadline as a whole: Pingora's read
//! timeout starts anew with every byte, so a client could send one a minute for ever. And a client that
//! does not read is not waited for longer than the write timeout, in any protocol.
//!
//! What passes is looked at ([`Scan`]), and ends the connection if it is hostile. What follows a request of HTTP/1
//! waits until it is done ([`message`]).

mod deadline;
mod linger;
mod message;
mod scan;
mod stall;

pub(crate) use deadline::HeadClock;

use crate::abuse::{Cut, Refusal};
use crate::guard::Guard;
use crate::takeable::Takeable;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use deadline::HeadDeadline;
use linger::{Linger, Lingered};
use message::{Unread, end_where_it_was_not_announced};
use pingora::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use scan::Scan;
use stall::Stall;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use tidegate_chain::HeadLimits;
use tidegate_listen::Stream;
use tidegate_listen::tls::Alpn;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

/// Writes are gathered up to this size.
const GATHER: usize = 16 * 1024;

/// The bytes of a connection.
pub(crate) struct Io {
    stream: Takeable,
    unread: Unread,
    gathered: Vec<u8>,
    stall: Stall,
    deadline: HeadDeadline,
    scan: Scan,
    guard: Arc<Guard>,
    protocol: Protocol,
    socket: Arc<SocketDigest>,
    since: SystemTime,
    /// When HTTP/2 was last read.
    heard: Instant,
    bounds: Bounds,
    /// Once our side is closed.
    linger: Option<Linger>,
}

/// A socket that was taken out, and what had come after the head.
pub(crate) struct Taken {
    pub(crate) stream: Stream,
    pub(crate) unread: Bytes,
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

/// What a connection's bytes are held to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// When the time of the first head began.
    pub(crate) begun: Instant,
    /// Time for a head.
    pub(crate) head_time: Duration,
    /// Time for a write.
    pub(crate) write_time: Duration,
    /// Time between requests.
    pub(crate) idle_time: Duration,
    /// After the last response: how long, and for how many bytes, the client may go on sending.
    pub(crate) linger_time: Duration,
    pub(crate) linger_bytes: usize,
    /// Of HTTP/1 requests that wait for the one before.
    pub(crate) pipelined: usize,
    /// Of HTTP/1 heads.
    pub(crate) head: HeadLimits,
    /// Frames of HTTP/2 that ask for nothing.
    pub(crate) control_frames: u32,
    /// Time after which all of them may come again.
    pub(crate) control_frames_refill: Duration,
}

impl Io {
    pub(crate) fn new(
        stream: Stream,
        peer: Option<SocketAddr>,
        first: BytesMut,
        protocol: Protocol,
        clock: Arc<HeadClock>,
        bounds: &Bounds,
        guard: Arc<Guard>,
    ) -> Io {
        let socket = SocketDigest::from_raw_fd(stream.as_raw_fd());
        // Never set before: it is new.
        let _ = socket.peer_addr.set(peer.map(PingoraAddress::Inet));
        Io {
            stream: Takeable::new(stream),
            unread: Unread::new(first),
            gathered: Vec::new(),
            stall: Stall::new(guard.clone(), bounds.write_time),
            deadline: HeadDeadline::new(clock, bounds.begun, bounds.head_time),
            scan: Scan::new(protocol, bounds),
            guard,
            protocol,
            socket: Arc::new(socket),
            since: SystemTime::now(),
            heard: bounds.begun,
            bounds: *bounds,
            linger: None,
        }
    }

    /// Whether the client has closed the connection, or its side of it without having sent another request.
    pub(crate) fn is_gone(&self) -> bool {
        self.stream.is_closed_by_peer() && !self.unread.has_request()
    }

    /// Whether the head of the present message has been read.
    pub(crate) fn has_head(&self) -> bool {
        matches!(&self.scan, Scan::Messages(scan) if scan.has_head())
    }

    /// Whether the connection ends with the response to the present request.
    pub(crate) fn is_last_response(&self) -> bool {
        self.deadline.clock.is_last_response()
    }

    /// Add to what is sent with the next flush.
    pub(crate) fn gather(&mut self, add: impl FnOnce(&mut Vec<u8>)) {
        add(&mut self.gathered);
    }

    /// Write data of a body of HTTP/1, and what ends it: with what was gathered before, as one system call where that
    /// is much and the client takes it. Where it is dropped, nobody knows how much of it went out.
    pub(crate) async fn write_data(
        &mut self,
        mut data: &[u8],
        after: &'static [u8],
    ) -> io::Result<()> {
        if data.is_empty() || self.gathered.len() + data.len() < GATHER {
            self.gathered.extend_from_slice(data);
            self.gathered.extend_from_slice(after);
            return Ok(());
        }
        poll_fn(|cx| self.poll_write_data(cx, &mut data, after)).await
    }

    fn poll_write_data(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut &[u8],
        after: &'static [u8],
    ) -> Poll<io::Result<()>> {
        while !data.is_empty() {
            let parts = [&self.gathered, *data, after].map(IoSlice::new);
            let written = self.stall.poll_write_vectored(&mut self.stream, cx, &parts);
            let written = ready!(written)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let before = written.min(self.gathered.len());
            self.gathered.drain(..before);
            let taken = (written - before).min(data.len());
            *data = data.get(taken..).unwrap_or_default();
            if data.is_empty() {
                let ended = after.get(written - before - taken..);
                self.gathered.extend_from_slice(ended.unwrap_or_default());
            }
        }
        Poll::Ready(Ok(()))
    }

    /// A write may take so long from now on.
    pub(crate) fn set_write_time(&mut self, time: Duration) {
        self.stall.set_timeout(time);
    }

    /// Count what the client did that is refused.
    pub(crate) fn count_refused(&self, refusal: Refusal) {
        self.guard.refused(refusal);
    }

    /// Send what there is, and let the client see that the connection broke, and did not end.
    pub(crate) fn break_off(&mut self) {
        self.stream.write_now(&self.gathered);
        self.gathered.clear();
        if let Some(stream) = self.stream.take() {
            stream.reset();
        }
    }

    /// Answer what is not a request, count it, and end the connection.
    pub(crate) async fn refuse(&mut self) {
        self.refuse_with(Refusal::Malformed);
        self.count_refused(Refusal::Malformed);
        self.close().await;
    }

    /// End the connection, so that the client can read what it was sent.
    pub(crate) async fn close(&mut self) {
        // It may be gone already.
        let _ = AsyncWriteExt::shutdown(self).await;
    }

    /// Count it where the proxy ends the connection because nothing has come since the last request. Of HTTP/2,
    /// Pingora does, and does not say why.
    fn count_if_idle(&self) {
        let is_quiet = match self.protocol {
            Protocol::Http1 => self.deadline.is_between_requests(),
            Protocol::Http2 => {
                self.heard.elapsed() >= self.bounds.idle_time && !self.guard.has_streams()
            }
        };
        if is_quiet && !self.stream.is_closed_by_peer() {
            self.guard.cut(Cut::Idle);
        }
    }

    /// Ready when a head of HTTP/2 that has begun took too long.
    fn poll_open_head(&mut self, cx: &mut Context<'_>, is_pending: bool) -> Poll<()> {
        let is_open = matches!(&self.scan, Scan::Frames(scan) if scan.is_within_head());
        self.deadline.poll_open(cx, is_open, is_pending)
    }

    /// Count it, for the error that ends the connection.
    fn head_is_late(&self) -> io::Error {
        self.guard.cut(Cut::HeaderTimeout);
        let text = "the request head did not come in time";
        io::Error::new(io::ErrorKind::TimedOut, text)
    }

    /// Take the socket, for what is no longer HTTP.
    pub(crate) fn take(&self) -> Option<Taken> {
        Some(Taken {
            stream: self.stream.take()?,
            unread: self.unread.bytes.clone().freeze(),
        })
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
        if self.gathered.capacity() > 0 {
            self.gathered = Vec::new();
        }
        // TLS takes more than the socket does.
        self.stall.poll_flush(&mut self.stream, cx)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The client or an upstream is waited for: what is there goes out now.
        if let Poll::Ready(Err(error)) = this.poll_write_out(cx) {
            return Poll::Ready(Err(error));
        }
        if this.protocol == Protocol::Http1 {
            return this.poll_message(cx, buffer);
        }
        let before = buffer.filled().len();
        if !this.unread.bytes.is_empty() {
            this.unread.copy_into(buffer);
            let read = buffer.filled().get(before..).unwrap_or_default();
            this.unread.advance(read.len());
            return Poll::Ready(this.scan_read(read).map(drop));
        }
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if read.is_ready() {
            this.heard = Instant::now();
        }
        this.scan_read(buffer.filled().get(before..).unwrap_or_default())?;
        if this.poll_open_head(cx, read.is_pending()).is_ready() {
            return Poll::Ready(Err(this.head_is_late()));
        }
        end_where_it_was_not_announced(read)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // Where nothing was gathered, there is nothing to be waited for but the write itself.
        if !this.gathered.is_empty() && this.gathered.len() + bytes.len() > GATHER {
            ready!(this.poll_write_out(cx))?;
        }
        let taken = if bytes.len() < GATHER {
            this.gathered.extend_from_slice(bytes);
            bytes.len()
        } else {
            ready!(this.stall.poll_write(&mut this.stream, cx, bytes))?
        };
        this.scan_written(bytes.get(..taken).unwrap_or_default());
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_write_out(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.count_if_idle();
        ready!(this.poll_write_out(cx))?;
        if this.linger.is_none() {
            let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.stall.unless_late(shut, cx))?;
        }
        if this.protocol == Protocol::Http1 {
            let bounds = &this.bounds;
            let linger = this.linger.get_or_insert_with(|| Linger::new(bounds));
            if ready!(linger.poll(&mut this.stream, cx)) == Lingered::TooLong {
                this.guard.cut(Cut::Linger);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A response that breaks off is dropped without a flush; what came of it is the client's.
impl Drop for Io {
    fn drop(&mut self) {
        self.count_if_idle();
        if self.deadline.clock.is_between_responses() {
            self.stream.write_last_now(&self.gathered);
        } else {
            self.stream.write_now(&self.gathered);
        }
    }
}

#[async_trait]
impl Shutdown for Io {
    async fn shutdown(&mut self) {
        self.close().await;
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
