//! The listeners that run, reconciled by address with those of a new configuration: an address that
//! stays keeps its socket and its connections.

use crate::app::Phases;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_config::{Config, Errors, ListenAddress, Located};
use tidegate_http::Server;
use tidegate_listen::{Address, Caps, Listener, accept, bind};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// The listeners that run.
pub struct Listeners {
    server: Arc<Server<Phases>>,
    tracker: TaskTracker,
    running: HashMap<Key, Running>,
}

/// What makes a listener the same after a reload.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Tcp(SocketAddr),
    /// With port 0 the system chooses, so several can be told apart by name alone.
    Any(SocketAddr, String),
    /// Whatever its mode.
    Unix(PathBuf),
    Systemd(String),
}

struct Running {
    name: Arc<ArcSwap<Arc<str>>>,
    caps: Caps,
    stop: watch::Sender<bool>,
}

/// Sockets of a new configuration that were not there before, bound but not accepting.
pub struct Bound(Vec<(Key, Listener)>);

impl Listeners {
    /// No listeners; connections are counted by `tracker`.
    pub fn new(server: Arc<Server<Phases>>, tracker: TaskTracker) -> Listeners {
        Listeners {
            server,
            tracker,
            running: HashMap::new(),
        }
    }

    /// Bind what is new. Nothing changes until [`Listeners::commit`]; dropping the answer closes it.
    ///
    /// # Errors
    /// Addresses that cannot be bound, each with its place in the file.
    pub fn bind(&self, config: &Config) -> Result<Bound, Errors> {
        let (mut bound, mut errors) = (Vec::new(), Vec::new());
        for (key, wanted) in wanted(config) {
            if self.running.contains_key(&key) {
                continue;
            }
            let socket =
                address(&wanted).ok_or_else(|| "systemd handed over no such socket".to_owned());
            match socket.and_then(|address| bind(&address).map_err(|error| error.to_string())) {
                Ok(socket) => bound.push((key, socket)),
                Err(error) => errors.push(config.error(wanted.address.span, error)),
            }
        }
        Errors::check(errors)?;
        Ok(Bound(bound))
    }

    /// Accept on what was bound, stop what is not wanted any more. Open connections go on.
    pub fn commit(&mut self, config: &Config, bound: Bound) {
        let wanted = wanted(config);
        self.running.retain(|key, running| {
            let stays = wanted.contains_key(key);
            if !stays {
                tracing::info!(listener = &***running.name.load(), "closing listener");
                running.stop.send_replace(true);
            }
            stays
        });
        let (most, per_address) = caps(config);
        for (key, running) in &self.running {
            running.caps.set(most, per_address);
            if let Some(listener) = wanted.get(key) {
                running
                    .name
                    .store(Arc::new(listener.listener.name.as_str().into()));
                set_mode(listener);
            }
        }
        for (key, listener) in bound.0 {
            if let Some(wanted) = wanted.get(&key) {
                let running = self.start(
                    &wanted.listener.name,
                    listener,
                    Caps::new(most, per_address),
                );
                self.running.insert(key, running);
            }
        }
    }

    /// Stop accepting everywhere.
    pub fn stop(&mut self) {
        for running in self.running.values() {
            running.stop.send_replace(true);
        }
        self.running.clear();
    }

    fn start(&self, name: &str, listener: Listener, caps: Caps) -> Running {
        tracing::info!(listener = name, address = %listener.address, "listening");
        let name = Arc::new(ArcSwap::from_pointee(Arc::<str>::from(name)));
        let (stop, stopped) = watch::channel(false);
        let serve = {
            let (server, name, tracker) = (self.server.clone(), name.clone(), self.tracker.clone());
            move |connection| {
                let (server, name) = (server.clone(), Arc::clone(&*name.load_full()));
                tracker.spawn(async move { server.serve(name, connection).await });
            }
        };
        let refuse = {
            let (server, name) = (self.server.clone(), name.clone());
            move |refused| server.refused(&name.load(), refused)
        };
        tokio::spawn(accept(listener, caps.clone(), stopped, serve, refuse));
        Running { name, caps, stop }
    }
}

/// One address of a listener.
struct Wanted<'a> {
    listener: &'a tidegate_config::Listener,
    address: &'a Located<ListenAddress>,
}

fn wanted(config: &Config) -> HashMap<Key, Wanted<'_>> {
    let listeners = config.listeners.iter();
    let addresses = listeners.flat_map(|listener| {
        let of = listener.addresses.iter();
        of.map(move |address| Wanted { listener, address })
    });
    addresses.map(|wanted| (key(&wanted), wanted)).collect()
}

fn key(wanted: &Wanted<'_>) -> Key {
    match &wanted.address.value {
        ListenAddress::Bind(tidegate_config::Address::Unix(path)) => Key::Unix(path.clone()),
        ListenAddress::Bind(tidegate_config::Address::Socket(socket)) if socket.port() == 0 => {
            Key::Any(*socket, wanted.listener.name.clone())
        }
        ListenAddress::Bind(tidegate_config::Address::Socket(socket)) => Key::Tcp(*socket),
        ListenAddress::Systemd(name) => Key::Systemd(name.clone()),
    }
}

/// The mode of a Unix socket that stays may be another now.
fn set_mode(wanted: &Wanted<'_>) {
    if let Some(Address::Unix(path, mode)) = address(wanted)
        && let Err(error) = fs::set_permissions(&path, fs::Permissions::from_mode(mode))
    {
        tracing::warn!(path = %path.display(), %error, "cannot change the mode of the socket");
    }
}

fn address(wanted: &Wanted<'_>) -> Option<Address> {
    match &wanted.address.value {
        ListenAddress::Bind(tidegate_config::Address::Socket(socket)) => {
            Some(Address::Tcp(*socket))
        }
        ListenAddress::Bind(tidegate_config::Address::Unix(path)) => {
            Some(Address::Unix(path.clone(), wanted.listener.socket.mode))
        }
        ListenAddress::Systemd(_) => None,
    }
}

fn caps(config: &Config) -> (usize, usize) {
    let limits = &config.limits;
    let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    (
        size(limits.connections),
        size(limits.connections_per_address),
    )
}
