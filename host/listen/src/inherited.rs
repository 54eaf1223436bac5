//! Sockets that a service manager bound and hands over (sd_listen_fds(3)): they go on to listen while the proxy
//! is started anew, and it needs no right to bind them.

use crate::bind::{Address, Listener, ListenerSocket};
use listenfd::ListenFd;
use socket2::SockRef;
use std::io;
use std::net;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as unix;
use std::path::PathBuf;
use tokio::net::{TcpListener, UnixListener};

/// A socket that was handed over. Its options are those that the service manager gave it.
#[derive(Debug)]
pub struct Inherited {
    /// What the service manager calls it (`FileDescriptorName=`, systemd.socket(5)); several may be of one name.
    pub name: String,
    /// What it is bound to. A Unix socket without a path is `@` and its abstract name.
    pub address: Address,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener),
}

/// What was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// The variables contradict each other, or the process.
    #[error("LISTEN_FDS or LISTEN_FDNAMES is wrong: {0}")]
    Variables(io::Error),
    /// A socket is of another kind.
    #[error(
        "the service manager handed over `{name}`, which is not a stream socket that listens: give its socket unit \
         `ListenStream=` and `Accept=no` ({error})"
    )]
    Kind {
        /// What the service manager calls it.
        name: String,
        /// What is wrong with it.
        error: io::Error,
    },
}

impl Inherited {
    /// All that were handed over to this process. To be called once, before any thread is started: it changes the
    /// environment, so that programs that the proxy starts do not believe that the sockets are theirs.
    ///
    /// # Errors
    /// One of them cannot be listened on.
    pub fn from_environment() -> Result<Vec<Inherited>, InheritError> {
        // Compares LISTEN_PID, and finds out whether the descriptors are open.
        let named = sd_notify::listen_fds_with_names().map_err(InheritError::Variables)?;
        if named.len() == 0 {
            return Ok(Vec::new());
        }
        let mut handed_over = ListenFd::from_env();
        let names = named.map(|(_, name)| name).enumerate();
        names
            .map(|(index, name)| {
                take(&mut handed_over, index)
                    .map(|(socket, address)| Inherited {
                        name: name.clone(),
                        address,
                        socket,
                    })
                    .map_err(|error| InheritError::Kind { name, error })
            })
            .collect()
    }

    /// Listen on it.
    ///
    /// # Errors
    /// The runtime does not take it.
    pub fn listen(self) -> io::Result<Listener> {
        let socket = match self.socket {
            Socket::Tcp(tcp) => {
                tcp.set_nonblocking(true)?;
                ListenerSocket::Tcp(TcpListener::from_std(tcp)?)
            }
            Socket::Unix(unix) => {
                unix.set_nonblocking(true)?;
                ListenerSocket::Unix(UnixListener::from_std(unix)?)
            }
        };
        Ok(Listener::inherited(socket, self.address))
    }
}

fn take(handed_over: &mut ListenFd, index: usize) -> io::Result<(Socket, Address)> {
    let gone = || io::Error::other("it is not there");
    if let Ok(tcp) = handed_over.take_tcp_listener(index) {
        let tcp = tcp.ok_or_else(gone)?;
        listens(SockRef::from(&tcp))?;
        let address = Address::Tcp(tcp.local_addr()?);
        return Ok((Socket::Tcp(tcp), address));
    }
    let unix = handed_over.take_unix_listener(index)?.ok_or_else(gone)?;
    listens(SockRef::from(&unix))?;
    let address = Address::Unix(path(&unix.local_addr()?));
    Ok((Socket::Unix(unix), address))
}

fn listens(socket: SockRef<'_>) -> io::Result<()> {
    match socket.is_listener()? {
        true => Ok(()),
        false => Err(io::Error::other("it does not listen")),
    }
}

fn path(address: &unix::SocketAddr) -> PathBuf {
    match address.as_pathname() {
        Some(path) => path.to_owned(),
        None => {
            let name = address.as_abstract_name().unwrap_or_default();
            format!("@{}", String::from_utf8_lossy(name)).into()
        }
    }
}
