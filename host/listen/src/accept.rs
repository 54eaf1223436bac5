//! The accept loop.

use crate::bind::ListenerSocket;
use crate::{Caps, Connection, Listener, Plain, Refused};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long to wait when the system has no descriptors left: long enough not to spin, short enough
/// not to be noticed.
const PAUSE: Duration = Duration::from_millis(50);

/// Accept until `stop` turns true or its sender is gone; then close the listener.
///
/// `serve` gets each connection that fits under the listener's cap and should not block; `refuse` is told of
/// each that does not (it is closed).
pub async fn accept(
    listener: Arc<Listener>,
    caps: Caps,
    mut stop: watch::Receiver<bool>,
    serve: impl Fn(Connection),
    refuse: impl Fn(Refused),
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = next(&listener) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match caps.take() {
                Ok(slot) => serve(Connection::new(stream, peer, slot)),
                Err(refused) => refuse(refused),
            },
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(address = %listener.address, %error, "a connection was gone before it was accepted");
            }
            Err(error) => {
                tracing::warn!(address = %listener.address, %error, "cannot accept; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
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
