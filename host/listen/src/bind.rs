//! Binding: TCP v4 and v6, and Unix sockets.

use crate::options::{SocketOptions, backlog};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
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

/// A bound socket. Dropping it closes it, and removes the file of a Unix socket that is ours.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: ListenerSocket,
    /// Where it listens: with the port that the system chose.
    pub address: Address,
    /// Whether a service manager made it, whose its options and its file are.
    pub is_inherited: bool,
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
pub fn bind(address: &Address, options: &SocketOptions) -> Result<Listener, BindError> {
    let bound = match address {
        Address::Tcp(tcp) => bind_tcp(*tcp, options),
        Address::Unix(path) => bind_unix(path, options),
    };
    bound.map_err(|error| BindError {
        address: address.clone(),
        reason: explain(&error),
    })
}

fn bind_tcp(address: SocketAddr, options: &SocketOptions) -> io::Result<Listener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(options.v6_only)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    options.apply_to_tcp(SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(backlog(options))?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = Address::Tcp(listener.local_addr()?);
    Ok(Listener {
        socket: ListenerSocket::Tcp(listener),
        address,
        is_inherited: false,
    })
}

fn bind_unix(path: &Path, options: &SocketOptions) -> io::Result<Listener> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before it listens, whatever its permissions are until they are set.
    let listening = options
        .apply_to_path(path)
        .and_then(|()| socket.listen(backlog(options)))
        .and_then(|()| UnixListener::from_std(socket.into()));
    match listening {
        Ok(listener) => Ok(Listener {
            socket: ListenerSocket::Unix(listener),
            address: Address::Unix(path.to_owned()),
            is_inherited: false,
        }),
        Err(error) => {
            // The error says more than that its file could not be removed.
            let _ = std::fs::remove_file(path);
            Err(error)
        }
    }
}

impl Listener {
    pub(crate) fn inherited(socket: ListenerSocket, address: Address) -> Listener {
        Listener {
            socket,
            address,
            is_inherited: true,
        }
    }

    /// Change the options of a socket that listens already; connections go on. `v6_only` cannot be changed, and
    /// a port that was shared once stays so (Linux remembers it with the port).
    ///
    /// # Errors
    /// The system does not take one of them.
    pub fn apply(&self, options: &SocketOptions) -> io::Result<()> {
        let socket = SockRef::from(self);
        match &self.address {
            Address::Tcp(_) => options.apply_to_tcp(SockRef::from(self))?,
            Address::Unix(path) => options.apply_to_path(path)?,
        }
        // A socket that listens takes another backlog (listen(2)).
        socket.listen(backlog(options))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            ListenerSocket::Tcp(tcp) => tcp.as_fd(),
            ListenerSocket::Unix(unix) => unix.as_fd(),
        }
    }
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
        if let Address::Unix(path) = &self.address
            && !self.is_inherited
        {
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
    use std::os::unix::fs::PermissionsExt;

    fn tcp(text: &str) -> Address {
        Address::Tcp(text.parse().unwrap())
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error_at_once() {
        let options = SocketOptions::default();
        let first = bind(&tcp("127.0.0.1:0"), &options).unwrap();
        let error = bind(&first.address, &options).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        let v6 = bind(&tcp("[::1]:0"), &options);
        assert!(v6.is_ok());
    }

    #[tokio::test]
    async fn options_are_those_of_the_socket_and_change() {
        let alone = SocketOptions::default();
        let first = bind(&tcp("127.0.0.1:0"), &alone).unwrap();
        let idle = SockRef::from(&first).tcp_keepalive_time().unwrap();
        assert_eq!(Some(idle), alone.keepalive);
        let shared = SocketOptions {
            reuse_port: true,
            keepalive: None,
            ..SocketOptions::default()
        };
        assert!(bind(&first.address, &shared).is_err());
        first.apply(&shared).unwrap();
        assert!(!SockRef::from(&first).keepalive().unwrap());
        assert!(bind(&first.address, &alone).is_err());
        assert!(bind(&first.address, &shared).is_ok(), "both have agreed");
    }

    #[tokio::test]
    async fn ipv6_takes_ipv4_only_where_it_is_told_to() {
        for v6_only in [true, false] {
            let options = SocketOptions {
                v6_only,
                ..SocketOptions::default()
            };
            let listener = bind(&tcp("[::]:0"), &options).unwrap();
            let Address::Tcp(address) = &listener.address else {
                panic!("not TCP")
            };
            let v4 = std::net::TcpStream::connect(("127.0.0.1", address.port()));
            assert_eq!(v4.is_err(), v6_only);
        }
    }

    #[tokio::test]
    async fn a_unix_socket_replaces_only_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let address = Address::Unix(path.clone());
        let options = SocketOptions {
            mode: 0o606,
            ..SocketOptions::default()
        };
        let first = bind(&address, &options).unwrap();
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o606, "whatever the umask is");
        first.apply(&SocketOptions::default()).unwrap();
        assert_eq!(mode(), 0o660);
        assert!(
            bind(&address, &options)
                .unwrap_err()
                .reason
                .contains("in use")
        );
        drop(first);
        assert!(!path.exists());
        // A process that was killed leaves its socket behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(bind(&address, &options).unwrap());
        std::fs::write(&path, "precious").unwrap();
        let error = bind(&address, &options).unwrap_err();
        assert!(error.reason.contains("not a socket"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
