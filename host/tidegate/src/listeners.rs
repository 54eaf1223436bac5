//! The listeners that run, reconciled by address with those of a new configuration: an address that
//! stays keeps its socket and its connections.

mod options;
mod running;

use crate::app::Phases;
use arc_swap::ArcSwap;
use running::Running;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_config::{Config, Errors, ListenAddress};
use tidegate_http::Server;
use tidegate_listen::{Address, Caps, Inherited, Listener, SocketOptions, accept, bind};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// The listeners that run.
pub struct Listeners {
    server: Arc<Server<Phases>>,
    tracker: TaskTracker,
    running: HashMap<Key, Running>,
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
    pub fn new(
        server: Arc<Server<Phases>>,
        tracker: TaskTracker,
        inherited: Vec<Inherited>,
    ) -> std::io::Result<Listeners> {
        let handed_over = inherited.into_iter().map(|inherited| {
            Ok(HandedOver {
                name: inherited.name.clone(),
                address: inherited.address.clone(),
                socket: Some(inherited.listen()?),
            })
        });
        Ok(Listeners {
            server,
            tracker,
            running: HashMap::new(),
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
        let planned = Planned {
            name: listener.name.clone(),
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

    /// Accept on what was bound, stop what is not wanted any more. Open connections go on.
    pub fn commit(&mut self, config: &Config, bound: Bound) {
        self.running.retain(|key, running| {
            let stays = bound.0.iter().any(|(wanted, _)| wanted == key);
            if !stays {
                running.stop();
            }
            stays
        });
        let (most, per_address) = caps(config);
        for (key, mut planned) in bound.0 {
            if let Some(running) = self.running.get_mut(&key) {
                running.caps.set(most, per_address);
                running.change(planned);
                continue;
            }
            let socket = planned.bound.take().or_else(|| self.take(&key));
            if let Some(socket) = socket {
                let running = self.start(planned, socket, Caps::new(most, per_address));
                self.running.insert(key, running);
            }
        }
        self.close_unwanted();
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

    fn start(&self, planned: Planned, socket: Listener, caps: Caps) -> Running {
        tracing::info!(listener = planned.name, address = %socket.address, "listening");
        let socket = Arc::new(socket);
        let name = Arc::new(ArcSwap::from_pointee(Arc::<str>::from(planned.name)));
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
        let mut running = Running {
            name,
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

fn caps(config: &Config) -> (usize, usize) {
    let limits = &config.limits;
    let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    (
        size(limits.connections),
        size(limits.connections_per_address),
    )
}
