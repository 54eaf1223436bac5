//! The accept loop.

use crate::bind::ListenerSocket;
use crate::{Connection, Listener, Plain, Refused, Slot};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long to wait when the system has no descriptors left: long enough not to spin, short enough
/// not to be noticed.
const PAUSE: Duration = Duration::from_millis(50);

/// How often at most the log says that connections cannot be accepted.
const COMPLAIN_EVERY: Duration = Duration::from_secs(5);

/// Who gets the connections of a socket. Nothing here should block.
pub trait ConnectionHandler {
    /// A place for a connection.
    ///
    /// # Errors
    /// There is none; the connection is closed.
    fn admit(&self) -> Result<Slot, Refused>;

    /// A connection that has a place.
    fn serve(&self, connection: Connection);

    /// A connection was closed, because it got no place.
    fn refused(&self, refused: Refused);

    /// A connection waits, but the system does not give it to us.
    fn failed(&self) {}
}

/// Accept until `stop` turns true or its sender is gone; then close the listener.
pub async fn accept(
    listener: Arc<Listener>,
    mut stop: watch::Receiver<bool>,
    handler: impl ConnectionHandler,
) {
    let mut complaint = Complaint::default();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = next(&listener) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match handler.admit() {
                Ok(slot) => handler.serve(Connection::new(stream, peer, slot)),
                Err(refused) => handler.refused(refused),
            },
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(address = %listener.address, %error, "a connection was gone before it was accepted");
            }
            Err(error) => {
                handler.failed();
                if let Some(failures) = complaint.count(Instant::now()) {
                    tracing::warn!(address = %listener.address, %error, failures, "cannot accept; trying again");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Bounds how often the log has the same line.
#[derive(Default)]
struct Complaint {
    last: Option<Instant>,
    failures: u64,
}

impl Complaint {
    /// One more failure: how many there were since the last line, if it is time for another one.
    fn count(&mut self, now: Instant) -> Option<u64> {
        self.failures += 1;
        if self.last.is_some_and(|last| now < last + COMPLAIN_EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.failures))
    }
}

async fn next(listener: &Listener) -> io::Result<(Plain, Option<SocketAddr>)> {
    match &listener.socket {
        ListenerSocket::Tcp(tcp) => {
            let (stream, peer) = tcp.accept().await?;
            stream.set_nodelay(true)?;
            // Of a socket that takes both, IPv4 comes as IPv6 (RFC 4291 §2.5.5.2).
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            Ok((Plain::Tcp(stream), Some(peer)))
        }
        ListenerSocket::Unix(unix) => {
            let (stream, _) = unix.accept().await?;
            Ok((Plain::Unix(stream), None))
        }
    }
}

/// Errors that belong to the connection that was to be accepted, as accept(2) lists them.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_now_and_then_has_the_number_of_failures() {
        let mut complaint = Complaint::default();
        let start = Instant::now();
        assert_eq!(complaint.count(start), Some(1));
        for _ in 0..9 {
            assert_eq!(complaint.count(start + COMPLAIN_EVERY / 2), None);
        }
        assert_eq!(complaint.count(start + COMPLAIN_EVERY), Some(10));
    }
}
