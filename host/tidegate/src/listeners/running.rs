//! A socket that is accepted on, and what may change about it while it is.

use super::Planned;
use arc_swap::ArcSwap;
use pingora::protocols::l4::ext::set_tcp_fastopen_backlog;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use tidegate_http::Socket;
use tidegate_listen::{Address, Caps, Listener, SocketOptions};
use tokio::sync::watch;

/// A socket that is accepted on.
pub(super) struct Running {
    /// The name of its listener.
    pub(super) listener: String,
    pub(super) identity: Socket,
    pub(super) socket: Arc<Listener>,
    pub(super) options: SocketOptions,
    pub(super) fast_open: u32,
    pub(super) caps: Arc<ArcSwap<Caps>>,
    pub(super) stop: watch::Sender<bool>,
}

impl Running {
    /// The socket stays, and so do its connections.
    pub(super) fn change(&mut self, planned: Planned, caps: Caps) {
        self.listener = planned.name;
        self.caps.store(Arc::new(caps));
        if self.socket.is_inherited {
            return;
        }
        if planned.options != self.options {
            self.change_options(planned.options);
        }
        self.set_fast_open(planned.fast_open);
    }

    fn change_options(&mut self, options: SocketOptions) {
        let address = &self.socket.address;
        let fixed = [
            ("v6_only", options.v6_only != self.options.v6_only),
            ("reuse_port", self.options.reuse_port && !options.reuse_port),
        ];
        for (key, _) in fixed.into_iter().filter(|(_, changed)| *changed) {
            tracing::warn!(%address, "`{key}` cannot be changed so while the proxy listens; it takes effect at the next start");
        }
        match self.socket.apply(&options) {
            Ok(()) => tracing::info!(%address, "changed the options of the socket"),
            Err(error) => {
                tracing::warn!(%address, %error, "cannot change the options of the socket");
            }
        }
        // What cannot be changed is said once, not at each reload.
        self.options = options;
    }

    /// Pingora's function, for no other library that we have sets this option without `unsafe`.
    pub(super) fn set_fast_open(&mut self, length: u32) {
        let can = !self.socket.is_inherited && matches!(self.socket.address, Address::Tcp(_));
        if !can || length == self.fast_open {
            return;
        }
        self.fast_open = length;
        let (descriptor, length) = (self.socket.as_fd().as_raw_fd(), length as usize);
        if let Err(error) = set_tcp_fastopen_backlog(descriptor, length) {
            tracing::warn!(address = %self.socket.address, %error, "cannot set `fast_open`");
        }
    }

    pub(super) fn stop(&self) {
        tracing::info!(listener = self.listener, address = %self.socket.address, "closing listener");
        self.stop.send_replace(true);
    }
}
