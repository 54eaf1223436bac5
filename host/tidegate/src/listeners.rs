//! The listeners that run, reconciled by address with those of a new configuration: an address that
//! stays keeps its socket and its connections.

mod handler;
mod options;
mod running;

use crate::app::Phases;
use arc_swap::ArcSwap;
use handler::Handler;
use running::Running;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_config::{Config, Errors, ListenAddress};
use tidegate_http::{ListenerState, Server, Socket, Sockets};
use tidegate_listen::{Address, Caps, Inherited, Listener, SocketOptions, accept, bind};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// The listeners that run.
pub struct Listeners {
    tracker: TaskTracker,
    running: HashMap<Key, Running>,
    /// Of each listener, by its name: for all of its sockets together.
    caps: HashMap<String, Caps>,
    /// What the service manager handed over, whatever became of it.
    handed_over: Vec<HandedOver>,
}

/// A socket of the service manager's.
struct HandedOver {
    name: String,
    address: Address,
    /// Until a listener has it, or it is closed because none wants it.
    socket: Option<Listener>,
}

/// What makes a listener the same after a reload.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Tcp(SocketAddr),
    /// With port 0 the system chooses, so several can be told apart by the listener's name and their position
    /// in it alone.
    Any(SocketAddr, String, usize),
    Unix(PathBuf),
    /// Position among those that were handed over: by its name or by its address, it is the same.
    HandedOver(usize),
}

/// A socket as a new configuration wants it.
struct Planned {
    /// Of its listener.
    name: String,
    options: SocketOptions,
    fast_open: u32,
    /// What its connections are of: the same for as long as it runs.
    identity: Socket,
    /// The socket, if it was bound for this. Another one runs, or was handed over.
    bound: Option<Listener>,
}

/// The sockets of a new configuration. New ones are bound, but nobody accepts on them.
pub struct Bound(Vec<(Key, Planned)>);

impl Listeners {
    /// No listeners; connections are counted by `tracker`. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// The runtime does not take what was handed over.
    pub fn new(tracker: TaskTracker, inherited: Vec<Inherited>) -> std::io::Result<Listeners> {
        let handed_over = inherited.into_iter().map(|inherited| {
            Ok(HandedOver {
                name: inherited.name.clone(),
                address: inherited.address.clone(),
                socket: Some(inherited.listen()?),
            })
        });
        Ok(Listeners {
            tracker,
            running: HashMap::new(),
            caps: HashMap::new(),
            handed_over: handed_over.collect::<std::io::Result<_>>()?,
        })
    }

    /// Bind what is new. Nothing changes until [`Listeners::commit`]; dropping the answer closes it.
    ///
    /// # Errors
    /// Addresses that cannot be bound, each with its place in the file.
    pub fn bind(&self, config: &Config) -> Result<Bound, Errors> {
        let (mut bound, mut errors) = (Bound(Vec::new()), Vec::new());
        for listener in &config.listeners {
            let options = match options::resolve(&listener.socket) {
                Ok(options) => options,
                Err((span, problem)) => {
                    errors.push(config.error(span, problem));
                    continue;
                }
            };
            for (position, address) in listener.addresses.iter().enumerate() {
                let added = self
                    .keys(&address.value, &listener.name, position)
                    .and_then(|keys| {
                        keys.into_iter()
                            .try_for_each(|key| self.plan(key, listener, &options, &mut bound))
                    });
                if let Err(problem) = added {
                    errors.push(config.error(address.span, problem));
                }
            }
        }
        Errors::check(errors)?;
        Ok(bound)
    }

    /// The sockets that are meant by an address: one, or all those of a name.
    fn keys(
        &self,
        address: &ListenAddress,
        listener: &str,
        position: usize,
    ) -> Result<Vec<Key>, String> {
        let handed_over = |fits: &dyn Fn(&HandedOver) -> bool| -> Vec<Key> {
            let open = self.handed_over.iter().enumerate().filter(|(index, it)| {
                fits(it)
                    && (it.socket.is_some() || self.running.contains_key(&Key::HandedOver(*index)))
            });
            open.map(|(index, _)| Key::HandedOver(index)).collect()
        };
        let (address, own) = match address {
            ListenAddress::Systemd(name) => {
                let keys = handed_over(&|it| it.name == *name);
                return match keys.is_empty() {
                    true => Err(self.not_handed_over(name)),
                    false => Ok(keys),
                };
            }
            ListenAddress::Bind(tidegate_config::Address::Unix(path)) => {
                (Address::Unix(path.clone()), Key::Unix(path.clone()))
            }
            ListenAddress::Bind(tidegate_config::Address::Socket(socket)) => {
                let own = match socket.port() {
                    0 => Key::Any(*socket, listener.to_owned(), position),
                    _ => Key::Tcp(*socket),
                };
                (Address::Tcp(*socket), own)
            }
        };
        let keys = handed_over(&|it| it.address == address);
        Ok(if keys.is_empty() { vec![own] } else { keys })
    }

    fn plan(
        &self,
        key: Key,
        listener: &tidegate_config::Listener,
        options: &SocketOptions,
        bound: &mut Bound,
    ) -> Result<(), String> {
        if let Some((_, other)) = bound.0.iter().find(|(of, _)| *of == key) {
            return Err(format!(
                "the listener `{}` has this socket of the service manager's already",
                other.name
            ));
        }
        let address = match &key {
            Key::Tcp(socket) | Key::Any(socket, ..) => Some(Address::Tcp(*socket)),
            Key::Unix(path) => Some(Address::Unix(path.clone())),
            Key::HandedOver(_) => None,
        };
        let socket = match address {
            Some(address) if !self.running.contains_key(&key) => {
                Some(bind(&address, options).map_err(|error| error.to_string())?)
            }
            _ => None,
        };
        let running = self.running.get(&key);
        let planned = Planned {
            name: listener.name.clone(),
            identity: running.map_or_else(Socket::new, |running| running.identity.clone()),
            options: options.clone(),
            fast_open: listener.socket.fast_open,
            bound: socket,
        };
        bound.0.push((key, planned));
        Ok(())
    }

    fn not_handed_over(&self, name: &str) -> String {
        if self.handed_over.iter().any(|it| it.name == name) {
            return format!(
                "the socket `{name}` was closed when no listener wanted it; start the proxy anew to get it again"
            );
        }
        let names: BTreeSet<_> = self.handed_over.iter().map(|it| &*it.name).collect();
        match names.is_empty() {
            true => format!(
                "no socket `{name}` was handed over, nor any other; is there a socket unit with this `FileDescriptorName=`?"
            ),
            false => format!(
                "no socket `{name}` was handed over, but: {}",
                names.into_iter().collect::<Vec<_>>().join(", ")
            ),
        }
    }

    /// Accept on what was bound, stop what is not wanted any more. Open connections go on. The state that runs has
    /// to know the sockets already ([`Bound::sockets`]).
    pub fn commit(&mut self, server: &Arc<Server<Phases>>, config: &Config, bound: Bound) {
        let caps = self.next_caps(config, &bound);
        self.running.retain(|key, running| {
            let stays = bound.0.iter().any(|(wanted, _)| wanted == key);
            if !stays {
                running.stop();
            }
            stays
        });
        for (key, mut planned) in bound.0 {
            let Some(caps) = caps.get(&planned.name).cloned() else {
                continue;
            };
            if let Some(running) = self.running.get_mut(&key) {
                running.change(planned, caps);
                continue;
            }
            let socket = planned.bound.take().or_else(|| self.take(&key));
            if let Some(socket) = socket {
                let running = self.start(server, planned, socket, caps);
                self.running.insert(key, running);
            }
        }
        self.caps = caps;
        self.close_unwanted();
    }

    /// The caps of each listener. It keeps those that it had: by its name or, where that is another one now, by
    /// its sockets.
    fn next_caps(&mut self, config: &Config, bound: &Bound) -> HashMap<String, Caps> {
        let (most, per_address) = caps(config);
        let mut before = std::mem::take(&mut self.caps);
        let mut next = HashMap::new();
        for listener in &config.listeners {
            if let Some((name, caps)) = before.remove_entry(&listener.name) {
                next.insert(name, caps);
            }
        }
        for listener in &config.listeners {
            next.entry(listener.name.clone()).or_insert_with(|| {
                let own = bound.0.iter().filter(|(_, it)| it.name == listener.name);
                let mut before_by_socket =
                    own.filter_map(|(key, _)| before.remove(&self.running.get(key)?.listener));
                let kept = before_by_socket.next();
                kept.unwrap_or_else(|| Caps::new(most, per_address))
            });
        }
        for caps in next.values() {
            caps.set(most, per_address);
        }
        next
    }

    /// A socket that was handed over and that no listener has yet.
    fn take(&mut self, key: &Key) -> Option<Listener> {
        match key {
            Key::HandedOver(index) => self.handed_over.get_mut(*index)?.socket.take(),
            _ => None,
        }
    }

    /// Clients of a socket that nobody accepts on would wait for nothing.
    fn close_unwanted(&mut self) {
        for HandedOver {
            name,
            address,
            socket,
        } in &mut self.handed_over
        {
            if socket.take().is_some() {
                tracing::warn!(name, %address, "no listener wants this socket, which the service manager handed over; it is closed");
            }
        }
    }

    /// Stop accepting everywhere.
    pub fn stop(&mut self) {
        for running in self.running.values() {
            running.stop();
        }
        self.running.clear();
    }

    fn start(
        &self,
        server: &Arc<Server<Phases>>,
        planned: Planned,
        socket: Listener,
        caps: Caps,
    ) -> Running {
        tracing::info!(listener = planned.name, address = %socket.address, "listening");
        let socket = Arc::new(socket);
        let (stop, stopped) = watch::channel(false);
        let caps = Arc::new(ArcSwap::from_pointee(caps));
        let handler = Handler {
            server: server.clone(),
            tracker: self.tracker.clone(),
            socket: planned.identity.clone(),
            caps: caps.clone(),
        };
        tokio::spawn(accept(socket.clone(), stopped, handler));
        let mut running = Running {
            listener: planned.name,
            identity: planned.identity,
            socket,
            options: planned.options,
            fast_open: 0,
            caps,
            stop,
        };
        running.set_fast_open(planned.fast_open);
        running
    }
}

impl Bound {
    /// Which of these listeners each socket is of.
    pub fn sockets(&self, listeners: &HashMap<Arc<str>, Arc<ListenerState>>) -> Sockets {
        let mut sockets = Sockets::default();
        for (_, planned) in &self.0 {
            if let Some(listener) = listeners.get(planned.name.as_str()) {
                sockets.insert(&planned.identity, listener.clone());
            }
        }
        sockets
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
