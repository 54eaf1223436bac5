//! How many connections a listener holds, or handshakes, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Caps of one listener. Counted when a connection or its handshake begins and when it ends, never on a request.
#[derive(Debug, Clone)]
pub struct Caps(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connections: AtomicUsize,
    per_address: AtomicUsize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place under the caps, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    caps: Caps,
    address: Option<IpAddr>,
}

/// Why a connection is closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The listener holds as many as it may.
    #[error("the listener has reached its connections")]
    Connections,
    /// The client's address holds as many as it may.
    #[error("the address has reached its connections")]
    PerAddress,
    /// There is no PROXY protocol header where there has to be one, or a wrong one.
    #[error("there is no valid PROXY protocol header")]
    ProxyProtocol,
}

impl Caps {
    /// So many connections, and so many from one address (from one /64 with IPv6).
    pub fn new(connections: usize, per_address: usize) -> Caps {
        Caps(Arc::new(Inner {
            connections: connections.into(),
            per_address: per_address.into(),
            counts: Mutex::default(),
        }))
    }

    /// Change the caps. Connections that are open stay.
    pub fn set(&self, connections: usize, per_address: usize) {
        self.0.connections.store(connections, Ordering::Relaxed);
        self.0.per_address.store(per_address, Ordering::Relaxed);
    }

    /// Take a place among all connections. Whose it is may not be known yet.
    ///
    /// # Errors
    /// The listener has reached its cap.
    pub fn take(&self) -> Result<Slot, Refused> {
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.connections >= self.0.connections.load(Ordering::Relaxed) {
            return Err(Refused::Connections);
        }
        counts.connections += 1;
        Ok(Slot {
            caps: self.clone(),
            address: None,
        })
    }
}

impl Slot {
    /// Count the connection as one of this client, and of nobody else any more.
    ///
    /// # Errors
    /// The client has reached its cap.
    pub fn count(&mut self, client: IpAddr) -> Result<(), Refused> {
        let address = subscriber(client);
        let inner = &self.caps.0;
        let mut counts = inner.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = self.address.take() {
            counts.give_back(before);
        }
        let open = counts.by_address.get(&address).copied().unwrap_or(0);
        if open >= inner.per_address.load(Ordering::Relaxed) {
            return Err(Refused::PerAddress);
        }
        counts.by_address.insert(address, open + 1);
        self.address = Some(address);
        Ok(())
    }

    /// Count the connection as nobody's, as long as it lasts.
    pub(crate) fn count_for_nobody(&mut self) {
        let counts = &self.caps.0.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = self.address.take() {
            counts.give_back(address);
        }
    }
}

impl Counts {
    fn give_back(&mut self, address: IpAddr) {
        if let Some(open) = self.by_address.get_mut(&address) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let counts = &self.caps.0.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.connections = counts.connections.saturating_sub(1);
        if let Some(address) = self.address {
            counts.give_back(address);
        }
    }
}

/// What one subscriber has: an IPv4 address, or an IPv6 /64.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place that is counted as one of this address.
    fn take(caps: &Caps, address: &str) -> Result<Slot, Refused> {
        let mut slot = caps.take()?;
        slot.count(address.parse().unwrap())?;
        Ok(slot)
    }

    #[test]
    fn caps_count_and_give_back() {
        let caps = Caps::new(3, 2);
        let a = take(&caps, "192.0.2.1").unwrap();
        let mut b = take(&caps, "::ffff:192.0.2.1").unwrap();
        assert_eq!(take(&caps, "192.0.2.1").unwrap_err(), Refused::PerAddress);
        // It turns out to be somebody else's.
        b.count("192.0.2.2".parse().unwrap()).unwrap();
        let c = take(&caps, "192.0.2.1").unwrap();
        assert_eq!(caps.take().unwrap_err(), Refused::Connections);
        drop((a, c));
        b.count_for_nobody();
        assert!(caps.0.counts.lock().unwrap().by_address.is_empty());
    }

    #[test]
    fn a_client_that_is_refused_leaves_nothing_behind() {
        let caps = Caps::new(1, 0);
        assert_eq!(take(&caps, "192.0.2.1").unwrap_err(), Refused::PerAddress);
        caps.set(1, 1);
        assert!(take(&caps, "192.0.2.1").is_ok());
        assert!(caps.0.counts.lock().unwrap().by_address.is_empty());
    }

    #[test]
    fn v6_is_counted_by_64() {
        let caps = Caps::new(9, 1);
        let _a = take(&caps, "2001:db8:1::1").unwrap();
        assert!(take(&caps, "2001:db8:1::2").is_err());
        assert!(take(&caps, "2001:db8:1:1::2").is_ok());
    }
}
