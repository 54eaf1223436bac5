//! Which listener a connection is of. It follows the socket that accepted it, not a name or a place in the file:
//! a reload may give that socket to another listener, or put listeners in front of it.

use crate::state::ListenerState;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// A socket that connections are accepted on. Whoever accepts holds it, and so does each of its connections.
#[derive(Clone, Debug)]
pub struct Socket(Arc<u64>);

impl Socket {
    /// One that is not any other.
    #[expect(clippy::new_without_default, reason = "no two are the same")]
    pub fn new() -> Socket {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Socket(Arc::new(NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}

/// The listeners of sockets: of those that are accepted on, and of those that are closed while connections of
/// theirs go on.
#[derive(Debug, Default)]
pub struct Sockets(HashMap<u64, Entry>);

#[derive(Debug)]
struct Entry {
    socket: Weak<u64>,
    listener: Arc<ListenerState>,
}

impl Sockets {
    /// A socket is of this listener.
    pub fn insert(&mut self, socket: &Socket, listener: Arc<ListenerState>) {
        let entry = Entry {
            socket: Arc::downgrade(&socket.0),
            listener,
        };
        self.0.insert(*socket.0, entry);
    }

    /// What of `before` goes on beside these: sockets that are not accepted on any more, as long as they have
    /// connections. What held for those holds on; but routes cannot name their listener any more.
    pub fn keep_closed(&mut self, before: &Sockets) {
        for (number, Entry { socket, listener }) in &before.0 {
            if socket.strong_count() == 0 || self.0.contains_key(number) {
                continue;
            }
            let listener = match listener.index {
                None => listener.clone(),
                Some(_) => Arc::new(ListenerState {
                    index: None,
                    ..ListenerState::clone(listener)
                }),
            };
            let socket = socket.clone();
            self.0.insert(*number, Entry { socket, listener });
        }
    }

    /// The same sockets, with the listeners of these names in a state that was built anew from the same file.
    pub fn renewed(&self, listeners: &HashMap<Arc<str>, Arc<ListenerState>>) -> Sockets {
        let open = self
            .0
            .iter()
            .filter(|(_, entry)| entry.socket.strong_count() > 0);
        let entries = open.map(|(number, entry)| {
            let listener = match entry.listener.index {
                None => &entry.listener,
                Some(_) => listeners
                    .get(&entry.listener.name)
                    .unwrap_or(&entry.listener),
            };
            let renewed = Entry {
                socket: entry.socket.clone(),
                listener: listener.clone(),
            };
            (*number, renewed)
        });
        Sockets(entries.collect())
    }

    /// The listener of a socket.
    pub fn listener(&self, socket: &Socket) -> Option<&Arc<ListenerState>> {
        self.0.get(&*socket.0).map(|entry| &entry.listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_route::ListenerIndex;

    fn listener(name: &str, index: usize) -> Arc<ListenerState> {
        Arc::new(ListenerState {
            name: name.into(),
            index: Some(ListenerIndex(index)),
            ..ListenerState::default()
        })
    }

    #[test]
    fn a_closed_socket_is_of_its_listener_as_long_as_it_has_connections() {
        let (stays, closed, unused) = (Socket::new(), Socket::new(), Socket::new());
        let mut before = Sockets::default();
        for (socket, name) in [(&stays, "stays"), (&closed, "closed"), (&unused, "unused")] {
            before.insert(socket, listener(name, 1));
        }
        drop(unused);
        let mut now = Sockets::default();
        now.insert(&stays, listener("other", 0));
        now.keep_closed(&before);
        assert_eq!(&*now.listener(&stays).unwrap().name, "other");
        let kept = now.listener(&closed).unwrap();
        assert_eq!((&*kept.name, kept.index), ("closed", None));
        assert_eq!(now.0.len(), 2);

        // A new listener of its name has nothing to do with it.
        let names = [("other", 3), ("closed", 4)];
        let names = names.map(|(name, index)| (name.into(), listener(name, index)));
        let renewed = now.renewed(&names.into());
        assert_eq!(
            renewed.listener(&stays).unwrap().index,
            Some(ListenerIndex(3))
        );
        assert_eq!(renewed.listener(&closed).unwrap().index, None);
    }
}
