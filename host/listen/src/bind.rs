//! Binding: TCP v4 and v6, and Unix sockets.

use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 4096;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket and its permission bits.
    Unix(PathBuf, u32),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path, _) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct BindError {
    /// Where.
    pub address: Address,
    /// Why, and what to do.
    pub reason: String,
}

/// A bound socket. Dropping it closes it, and removes a Unix socket's file.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: ListenerSocket,
    /// Where it listens: with the port that the system chose.
    pub address: Address,
}

#[derive(Debug)]
pub(crate) enum ListenerSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Bind a socket. Has to be called within a tokio runtime.
///
/// # Errors
/// The address is in use, is not ours, or is not permitted.
pub fn bind(address: &Address) -> Result<Listener, BindError> {
    let bound = match address {
        Address::Tcp(tcp) => bind_tcp(*tcp),
        Address::Unix(path, mode) => bind_unix(path, *mode),
    };
    bound.map_err(|error| BindError {
        address: address.clone(),
        reason: explain(&error),
    })
}

fn bind_tcp(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // `[::]` means v6 alone, so that `0.0.0.0` can stand beside it.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = Address::Tcp(listener.local_addr()?);
    Ok(Listener {
        socket: ListenerSocket::Tcp(listener),
        address,
    })
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(Listener {
        socket: ListenerSocket::Unix(listener),
        address: Address::Unix(path.to_owned(), mode),
    })
}

/// Remove a socket that nobody listens on any more; anything else at the path stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::other(
            "there is a file at this path that is not a socket",
        ));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path, _) = &self.address {
            // It may be gone already; there is nobody to tell.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the address is in use; another process (or another listener) has it".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has this address".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE, a Unix socket a writable folder"
                .to_owned()
        }
        io::ErrorKind::NotFound => "the socket's folder does not exist".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Address {
        Address::Tcp(text.parse().unwrap())
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error_at_once() {
        let first = bind(&tcp("127.0.0.1:0")).unwrap();
        let error = bind(&first.address).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        let v6 = bind(&tcp("[::1]:0"));
        assert!(v6.is_ok());
    }

    #[tokio::test]
    async fn a_unix_socket_replaces_only_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let address = Address::Unix(path.clone(), 0o600);
        let first = bind(&address).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(bind(&address).unwrap_err().reason.contains("in use"));
        drop(first);
        assert!(!path.exists());
        // A process that was killed leaves its socket behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(bind(&address).unwrap());
        std::fs::write(&path, "precious").unwrap();
        assert!(bind(&address).unwrap_err().reason.contains("not a socket"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
