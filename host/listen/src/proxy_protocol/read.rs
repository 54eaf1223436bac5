//! A header from a connection.

use super::{BYTES_MAX, Header, Invalid, Version, parse};
use crate::Plain;
use rustix::net::{RecvFlags, recv};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use tokio::io::{AsyncReadExt, Interest};

/// How much is looked at first: nearly every header is shorter.
const FIRST: usize = 256;

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What came is none. Nothing was taken from the connection.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The connection was closed before its first byte.
    #[error("the connection was closed before its first byte")]
    Nothing,
    /// The connection failed, or ended before the header did.
    #[error("the connection ended within the PROXY protocol header: {0}")]
    Io(#[from] io::Error),
}

/// Take a header of one of the accepted versions from the start of a connection, and not a byte more:
/// it is looked at in the socket until it is whole. Waits without end; the caller has a deadline.
///
/// # Errors
/// There is none ([`Invalid::Missing`], with everything still in the socket) or a wrong one, or the
/// connection ended.
pub async fn read(stream: &mut Plain, accept: &[Version]) -> Result<Header, ReadError> {
    let mut seen = vec![0; FIRST];
    let mut length = 0;
    loop {
        length = match peek_more(stream, &mut seen, length).await {
            Err(error) if length == 0 && error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ReadError::Nothing);
            }
            looked => looked?,
        };
        let bytes = seen.get(..length).unwrap_or_default();
        if let Some((header, length)) = parse(bytes, accept)? {
            let taken = seen.get_mut(..length).unwrap_or_default();
            stream.read_exact(taken).await?;
            return Ok(header);
        }
        if length == seen.len() {
            // `parse` never asks for more than `BYTES_MAX`.
            seen.resize((2 * length).min(BYTES_MAX), 0);
        }
    }
}

/// Wait until there is more in the socket than was seen, and look at all of it.
async fn peek_more(stream: &Plain, buffer: &mut [u8], seen: usize) -> io::Result<usize> {
    let mut peek = |fd: BorrowedFd<'_>| {
        let (_, length) = recv(fd, &mut *buffer, RecvFlags::PEEK)?;
        if length > seen {
            return Ok(length);
        }
        if !stream.is_closed_by_peer() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Nothing can come any more, but something may have come since, and a closed socket is
        // readable for ever: this has to be decided now.
        match recv(fd, &mut *buffer, RecvFlags::PEEK)? {
            (_, length) if length > seen => Ok(length),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    let readable = Interest::READABLE;
    match stream {
        Plain::Tcp(tcp) => tcp.async_io(readable, || peek(tcp.as_fd())).await,
        Plain::Unix(unix) => unix.async_io(readable, || peek(unix.as_fd())).await,
    }
}
