//! An accepted connection.

use crate::Slot;
use crate::proxy_protocol::Tlvs;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::CertificateDer;
use std::io::{self, IoSlice, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// A connection that was accepted within the caps.
#[derive(Debug)]
pub struct Connection {
    /// The bytes, as they come.
    pub stream: Plain,
    /// Who connected; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Whose connection it is: the peer's, or whom a load balancer names ([`Connection::identify`]).
    pub client: Option<SocketAddr>,
    /// Where the client connected to, where a load balancer says so.
    pub destination: Option<SocketAddr>,
    /// What else it says.
    pub tlvs: Tlvs,
    /// Its place under the caps; given back when dropped.
    pub slot: Slot,
}

/// A TCP or Unix stream.
#[derive(Debug)]
pub enum Plain {
    /// TCP, without Nagle's delay.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// The bytes of a connection, in the clear: of a socket, or of TLS on one.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS.
    Plain(Plain),
    /// With TLS, once its handshake is done.
    Tls(Box<TlsStream<Plain>>),
}

impl Connection {
    pub(crate) fn new(stream: Plain, peer: Option<SocketAddr>, slot: Slot) -> Connection {
        Connection {
            stream,
            peer,
            client: peer,
            destination: None,
            tlvs: Tlvs::default(),
            slot,
        }
    }
}

impl Plain {
    /// Close, so that the peer sees a connection that broke and not one that ended. On a Unix socket there
    /// is only the end.
    pub fn reset(self) {
        if let Plain::Tcp(stream) = &self {
            // What cannot be set is a socket that is gone already.
            let _ = stream.set_zero_linger();
        }
    }

    /// Wait until there is something to read, or the end.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Plain::Tcp(stream) => stream.readable().await,
            Plain::Unix(stream) => stream.readable().await,
        }
    }

    /// Write what fits without waiting.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Plain::Tcp(stream) => stream.try_write(bytes),
            Plain::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Where the client connected to; `None` on a Unix socket.
    fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Plain::Tcp(stream) => stream.local_addr().ok(),
            Plain::Unix(_) => None,
        }
    }

    /// As [`Stream::is_closed_by_peer`].
    pub(crate) fn is_closed_by_peer(&self) -> bool {
        let fd = match self {
            Plain::Tcp(stream) => stream.as_fd(),
            Plain::Unix(stream) => stream.as_fd(),
        };
        let closed = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut asked = [PollFd::from_borrowed_fd(fd, PollFlags::RDHUP)];
        let at_once = Timespec::default();
        poll(&mut asked, Some(&at_once)).is_ok()
            && asked.iter().any(|f| f.revents().intersects(closed))
    }
}

impl Stream {
    /// The socket.
    fn socket(&self) -> &Plain {
        match self {
            Stream::Plain(plain) => plain,
            Stream::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Where the client connected to; `None` on a Unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket().local_address()
    }

    /// Write what fits without waiting, for a connection that is given up in the middle of something: the
    /// end of TLS is not announced, so that its client sees that more was to come (RFC 8446 §6.1).
    pub fn write_now(&mut self, bytes: &[u8]) {
        // The connection is given up: what cannot be written is lost with it.
        let _ = match self {
            Stream::Plain(plain) => plain.try_write(bytes).map(drop),
            Stream::Tls(tls) => write_tls_now(tls, bytes),
        };
    }

    /// As [`Stream::write_now`], for the last of what was to come.
    pub fn write_last_now(&mut self, bytes: &[u8]) {
        self.write_now(bytes);
        if let Stream::Tls(tls) = self {
            tls.get_mut().1.send_close_notify();
            let _ = write_tls_now(tls, &[]);
        }
    }

    /// As [`Plain::reset`].
    pub fn reset(self) {
        match self {
            Stream::Plain(plain) => plain.reset(),
            Stream::Tls(tls) => tls.into_inner().0.reset(),
        }
    }

    /// The certificates that the client has shown in TLS, its own first; none without.
    pub fn client_chain(&self) -> &[CertificateDer<'static>] {
        match self {
            Stream::Plain(_) => &[],
            Stream::Tls(tls) => tls.get_ref().1.peer_certificates().unwrap_or_default(),
        }
    }

    /// Whether the peer has closed the connection, or its side of it. Asks the system, and takes no data.
    pub fn is_closed_by_peer(&self) -> bool {
        self.socket().is_closed_by_peer()
    }
}

fn write_tls_now(tls: &mut TlsStream<Plain>, bytes: &[u8]) -> io::Result<()> {
    let (socket, connection) = tls.get_mut();
    connection.writer().write_all(bytes)?;
    while connection.wants_write() {
        if connection.write_tls(&mut Now(socket))? == 0 {
            return Ok(());
        }
    }
    Ok(())
}

/// A socket that is written to without waiting.
struct Now<'a>(&'a Plain);

impl io::Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        match self.socket() {
            Plain::Tcp(stream) => stream.as_raw_fd(),
            Plain::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Plain::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Plain::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Plain::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Plain::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Plain::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(plain) => Pin::new(plain).poll_read(cx, buffer),
            Stream::Tls(tls) => {
                let read = Pin::new(&mut *tls).poll_read(cx, buffer);
                // What TLS itself answers to what was read (that it does not renegotiate, RFC 5746 §4.5) would
                // stay until the next write.
                if read.is_pending()
                    && tls.get_ref().1.wants_write()
                    && let Poll::Ready(Err(error)) = Pin::new(tls).poll_flush(cx)
                {
                    return Poll::Ready(Err(error));
                }
                read
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(plain) => Pin::new(plain).poll_write(cx, bytes),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(plain) => Pin::new(plain).poll_write_vectored(cx, parts),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(plain) => Pin::new(plain).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(plain) => Pin::new(plain).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
