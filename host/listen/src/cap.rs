//! How many connections a listener holds, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Caps of one listener. Counted at accept and at close, never on a request.
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
    /// The address holds as many as it may.
    #[error("the address has reached its connections")]
    PerAddress,
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

    /// Take a place.
    ///
    /// # Errors
    /// A cap is reached.
    pub fn take(&self, address: Option<IpAddr>) -> Result<Slot, Refused> {
        let address = address.map(subscriber);
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.connections >= self.0.connections.load(Ordering::Relaxed) {
            return Err(Refused::Connections);
        }
        if let Some(address) = address {
            let of_address = counts.by_address.entry(address).or_insert(0);
            if *of_address >= self.0.per_address.load(Ordering::Relaxed) {
                return Err(Refused::PerAddress);
            }
            *of_address += 1;
        }
        counts.connections += 1;
        Ok(Slot {
            caps: self.clone(),
            address,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let counts = &self.caps.0.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.connections = counts.connections.saturating_sub(1);
        let Some(address) = self.address else { return };
        if let Some(of_address) = counts.by_address.get_mut(&address) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                counts.by_address.remove(&address);
            }
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

    #[test]
    fn caps_count_and_give_back() {
        let caps = Caps::new(3, 2);
        let one: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
        let mapped: Option<IpAddr> = Some("::ffff:192.0.2.1".parse().unwrap());
        let a = caps.take(one).unwrap();
        let _b = caps.take(mapped).unwrap();
        assert_eq!(caps.take(one).unwrap_err(), Refused::PerAddress);
        let _c = caps.take(None).unwrap();
        assert_eq!(caps.take(None).unwrap_err(), Refused::Connections);
        drop(a);
        assert!(caps.take(one).is_ok());
    }

    #[test]
    fn v6_is_counted_by_64() {
        let caps = Caps::new(9, 1);
        let address = |text: &str| Some(text.parse().unwrap());
        let _a = caps.take(address("2001:db8:1::1")).unwrap();
        assert!(caps.take(address("2001:db8:1::2")).is_err());
        assert!(caps.take(address("2001:db8:1:1::2")).is_ok());
    }
}
