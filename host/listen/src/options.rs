//! Options of sockets that listen.

use socket2::{SockRef, TcpKeepalive};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// Options of a socket. Each is for the kinds of socket that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Connections that the system keeps for us until we accept them.
    pub backlog: u32,
    /// Whether an IPv6 address takes IPv6 alone, so that IPv4 can stand beside it.
    pub v6_only: bool,
    /// Whether other sockets of the same user may listen on the same TCP address (SO_REUSEPORT).
    pub reuse_port: bool,
    /// The time without data before the first TCP keep-alive probe; `None` sends none. Connections inherit it.
    pub keepalive: Option<Duration>,
    /// The permissions of a Unix socket.
    pub mode: u32,
    /// The user whose a Unix socket is; `None` leaves it that of the process.
    pub owner: Option<u32>,
    /// The group of a Unix socket; `None` leaves it that of the process.
    pub group: Option<u32>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            v6_only: true,
            reuse_port: false,
            keepalive: Some(Duration::from_secs(60)),
            mode: 0o660,
            owner: None,
            group: None,
        }
    }
}

impl SocketOptions {
    /// Those that a socket of TCP takes at any time.
    pub(crate) fn apply_to_tcp(&self, socket: SockRef<'_>) -> io::Result<()> {
        socket.set_reuse_port(self.reuse_port)?;
        match self.keepalive {
            Some(idle) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
            None => socket.set_keepalive(false),
        }
    }

    /// Those that the file of a Unix socket has.
    pub(crate) fn apply_to_path(&self, path: &Path) -> io::Result<()> {
        if self.owner.is_some() || self.group.is_some() {
            std::os::unix::fs::lchown(path, self.owner, self.group)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode))
    }
}

/// As listen(2) takes it.
pub(crate) fn backlog(options: &SocketOptions) -> i32 {
    i32::try_from(options.backlog).unwrap_or(i32::MAX)
}
