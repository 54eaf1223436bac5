//! The listeners that run, reconciled by address with those of a new configuration: an address that
//! stays keeps its socket and its connections.

use crate::app::Phases;
use arc_swap::ArcSwap;
use pingora::protocols::l4::ext::set_tcp_fastopen_backlog;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_config::{Account, Config, Errors, ListenAddress, Located, Span};
use tidegate_http::Server;
use tidegate_listen::{Address, Caps, Listener, SocketOptions, accept, bind};
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
    /// With port 0 the system chooses, so several can be told apart by the listener's name and their position
    /// in it alone.
    Any(SocketAddr, String, usize),
    /// Whatever its mode.
    Unix(PathBuf),
    Systemd(String),
}

struct Running {
    name: Arc<ArcSwap<Arc<str>>>,
    socket: Arc<Listener>,
    options: SocketOptions,
    fast_open: u32,
    caps: Caps,
    stop: watch::Sender<bool>,
}

/// The options of every socket of a new configuration, and those sockets that were not there before, bound
/// but not accepting.
pub struct Bound {
    options: HashMap<Key, SocketOptions>,
    new: Vec<(Key, Listener)>,
}

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
        let mut errors = Vec::new();
        let mut bound = Bound {
            options: HashMap::new(),
            new: Vec::new(),
        };
        for (key, wanted) in wanted(config) {
            let options = match socket_options(&wanted.listener.socket) {
                Ok(options) => options,
                Err((span, problem)) => {
                    errors.push(config.error(span, problem));
                    continue;
                }
            };
            if !self.running.contains_key(&key) {
                match bind_wanted(&wanted.address.value, &options) {
                    Ok(socket) => bound.new.push((key.clone(), socket)),
                    Err(problem) => errors.push(config.error(wanted.address.span, problem)),
                }
            }
            bound.options.insert(key, options);
        }
        Errors::check(errors)?;
        Ok(bound)
    }

    /// Accept on what was bound, stop what is not wanted any more. Open connections go on.
    pub fn commit(&mut self, config: &Config, mut bound: Bound) {
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
        for (key, running) in &mut self.running {
            running.caps.set(most, per_address);
            let Some(wanted) = wanted.get(key) else {
                continue;
            };
            running
                .name
                .store(Arc::new(wanted.listener.name.as_str().into()));
            if let Some(options) = bound.options.remove(key) {
                running.change(options);
            }
            running.set_fast_open(wanted.listener.socket.fast_open);
        }
        for (key, socket) in bound.new {
            let of = (wanted.get(&key), bound.options.remove(&key));
            if let (Some(wanted), Some(options)) = of {
                let name = &wanted.listener.name;
                let mut running = self.start(name, socket, options, Caps::new(most, per_address));
                running.set_fast_open(wanted.listener.socket.fast_open);
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

    fn start(&self, name: &str, socket: Listener, options: SocketOptions, caps: Caps) -> Running {
        tracing::info!(listener = name, address = %socket.address, "listening");
        let socket = Arc::new(socket);
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
        tokio::spawn(accept(socket.clone(), caps.clone(), stopped, serve, refuse));
        Running {
            name,
            socket,
            options,
            fast_open: 0,
            caps,
            stop,
        }
    }
}

impl Running {
    /// The socket stays, and so do its connections.
    fn change(&mut self, options: SocketOptions) {
        if options == self.options {
            return;
        }
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
                tracing::warn!(%address, %error, "cannot change the options of the socket")
            }
        }
        // What cannot be changed is said once, not at each reload.
        self.options = options;
    }

    fn set_fast_open(&mut self, length: u32) {
        if length == self.fast_open || !matches!(self.socket.address, Address::Tcp(_)) {
            return;
        }
        self.fast_open = length;
        let (descriptor, length) = (self.socket.as_fd().as_raw_fd(), length as usize);
        if let Err(error) = set_tcp_fastopen_backlog(descriptor, length) {
            tracing::warn!(address = %self.socket.address, %error, "cannot set `fast_open`");
        }
    }
}

/// One address of a listener.
struct Wanted<'a> {
    listener: &'a tidegate_config::Listener,
    position: usize,
    address: &'a Located<ListenAddress>,
}

fn wanted(config: &Config) -> HashMap<Key, Wanted<'_>> {
    let listeners = config.listeners.iter();
    let addresses = listeners.flat_map(|listener| {
        let of = listener.addresses.iter().enumerate();
        of.map(move |(position, address)| Wanted {
            listener,
            position,
            address,
        })
    });
    addresses.map(|wanted| (key(&wanted), wanted)).collect()
}

fn key(wanted: &Wanted<'_>) -> Key {
    match &wanted.address.value {
        ListenAddress::Bind(tidegate_config::Address::Unix(path)) => Key::Unix(path.clone()),
        ListenAddress::Bind(tidegate_config::Address::Socket(socket)) if socket.port() == 0 => {
            Key::Any(*socket, wanted.listener.name.clone(), wanted.position)
        }
        ListenAddress::Bind(tidegate_config::Address::Socket(socket)) => Key::Tcp(*socket),
        ListenAddress::Systemd(name) => Key::Systemd(name.clone()),
    }
}

fn bind_wanted(address: &ListenAddress, options: &SocketOptions) -> Result<Listener, String> {
    let address = match address {
        ListenAddress::Bind(tidegate_config::Address::Socket(socket)) => Address::Tcp(*socket),
        ListenAddress::Bind(tidegate_config::Address::Unix(path)) => Address::Unix(path.clone()),
        ListenAddress::Systemd(name) => {
            return Err(format!(
                "systemd handed over no socket of the name `{name}`"
            ));
        }
    };
    bind(&address, options).map_err(|error| error.to_string())
}

/// The options as the system takes them: users and groups as numbers.
fn socket_options(
    written: &tidegate_config::SocketOptions,
) -> Result<SocketOptions, (Span, String)> {
    let number = |account: &Option<Located<Account>>, kind: &str, find: fn(&str) -> Option<u32>| {
        let Some(Located { value, span }) = account else {
            return Ok(None);
        };
        match value {
            Account::Id(id) => Ok(Some(*id)),
            Account::Name(name) => find(name)
                .map(Some)
                .ok_or_else(|| (*span, format!("this system has no {kind} `{name}`"))),
        }
    };
    Ok(SocketOptions {
        backlog: written.backlog,
        v6_only: written.v6_only,
        reuse_port: written.reuse_port,
        keepalive: written.keepalive,
        mode: written.mode,
        owner: number(&written.owner, "user", |name| {
            uzers::get_user_by_name(name).map(|user| user.uid())
        })?,
        group: number(&written.group, "group", |name| {
            uzers::get_group_by_name(name).map(|group| group.gid())
        })?,
    })
}

fn caps(config: &Config) -> (usize, usize) {
    let limits = &config.limits;
    let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    (
        size(limits.connections),
        size(limits.connections_per_address),
    )
}
