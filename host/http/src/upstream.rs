//! Groups of peers, and whose turn it is.

use crate::admission::Admission;
use crate::forward::Forward;
use crate::peer::Peer;
use rustc_hash::FxHasher;
use std::hash::Hasher;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A named group of peers.
#[derive(Debug)]
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// How many peers one request may try.
    pub attempts: u32,
    /// Whether its peers are asked to keep connections open.
    pub keeps_connections: bool,
    /// The attribute whose value decides which peer is asked.
    pub hash_by: Option<Box<str>>,
    /// What tells its peers about the client.
    pub forward: Box<[Forward]>,
    /// Lets requests through, where there is a limit.
    pub admission: Option<Arc<Admission>>,
    peers: Vec<Peer>,
    /// Indexes of `peers`, each as often as its weight, spread out.
    turns: Box<[usize]>,
    next: AtomicUsize,
    pub(crate) metrics: crate::metrics::UpstreamMetrics,
}

/// Weights above count as this for hashing, which looks at each share of a weight.
const SHARES_MAX: u32 = 256;

/// An upstream that cannot be built.
#[derive(Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// No peers.
    Empty,
    /// A Unix socket's path that is not UTF-8, or too long.
    Path(PathBuf),
}

impl std::fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UpstreamError::Empty => f.write_str("it has no peers"),
            UpstreamError::Path(path) => {
                write!(f, "{} cannot be the path of a socket", path.display())
            }
        }
    }
}

impl std::error::Error for UpstreamError {}

impl Upstream {
    /// A group.
    ///
    /// # Errors
    /// No peers.
    pub fn new(
        name: &Arc<str>,
        peers: Vec<Peer>,
        attempts: u32,
        keeps_connections: bool,
        hash_by: Option<Box<str>>,
        forward: Box<[Forward]>,
        metrics: &crate::Metrics,
    ) -> Result<Upstream, UpstreamError> {
        let weights: Vec<u32> = peers.iter().map(|peer| peer.weight).collect();
        let turns = turns(&weights);
        if turns.is_empty() {
            return Err(UpstreamError::Empty);
        }
        Ok(Upstream {
            name: name.clone(),
            attempts,
            keeps_connections,
            hash_by,
            forward,
            admission: None,
            peers,
            turns,
            next: AtomicUsize::new(0),
            metrics: metrics.upstream(name),
        })
    }

    /// Whose turn it is, for a new request.
    pub(crate) fn turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.turns.len()
    }

    /// The turn after `turn` that is another peer's, for a request that is tried again.
    pub(crate) fn turn_after(&self, turn: usize) -> usize {
        let count = self.turns.len();
        let failed = self.turns.get(turn % count);
        (1..=count)
            .map(|step| (turn + step) % count)
            .find(|turn| self.turns.get(*turn) != failed)
            .unwrap_or(turn)
    }

    /// Whether HTTP/2 is spoken with its peers: with all of them, or none.
    pub(crate) fn is_http2(&self) -> bool {
        self.peers.first().is_some_and(Peer::is_http2)
    }

    /// The names of the peers, as plugins see them.
    pub fn names(&self) -> Box<[Arc<str>]> {
        self.peers.iter().map(|peer| peer.name.clone()).collect()
    }

    /// The first turn of a peer, by its index.
    pub(crate) fn turn_of(&self, peer: usize) -> usize {
        self.turns
            .iter()
            .position(|turn| *turn == peer)
            .unwrap_or(0)
    }

    /// The turn of the peer that a value belongs to: the same for the same value for as long as the peer is
    /// there, by rendezvous hashing (Thaler, Ravishankar 1998). Weights count.
    pub(crate) fn turn_for(&self, value: &[u8]) -> usize {
        let score = |peer: &Peer, share: u32| {
            let mut hasher = FxHasher::default();
            hasher.write_u64(peer.hash);
            hasher.write_u32(share);
            hasher.write(value);
            // The last step of SplitMix64: the hasher's high bits alone are not spread well.
            let hash = hasher.finish();
            let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            hash ^ (hash >> 27)
        };
        let best = self.peers.iter().enumerate().max_by_key(|(_, peer)| {
            let shares = 0..peer.weight.min(SHARES_MAX);
            shares.map(|share| score(peer, share)).max()
        });
        best.map_or(0, |(index, _)| self.turn_of(index))
    }

    /// The peer of a turn.
    pub(crate) fn peer(&self, turn: usize) -> Option<&Peer> {
        self.peers.get(*self.turns.get(turn)?)
    }
}

/// Smooth weighted round-robin (as nginx has it), written out once: the heaviest come often but not in
/// a row.
fn turns(weights: &[u32]) -> Box<[usize]> {
    let common = weights.iter().fold(0, |a, b| gcd(a, *b)).max(1);
    let weights: Vec<i64> = weights.iter().map(|w| i64::from(w / common)).collect();
    let total: i64 = weights.iter().sum();
    let mut current = vec![0_i64; weights.len()];
    let mut turns = Vec::new();
    for _ in 0..total {
        for (now, weight) in current.iter_mut().zip(&weights) {
            *now += weight;
        }
        // The first of the greatest.
        let best = current
            .iter()
            .enumerate()
            .rev()
            .max_by_key(|(_, now)| **now);
        if let Some((index, _)) = best {
            turns.push(index);
            if let Some(now) = current.get_mut(index) {
                *now -= total;
            }
        }
    }
    turns.into()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pools;
    use crate::peer::{PeerAddress, Speech, Timeouts};
    use std::time::Duration;

    #[test]
    fn weights_are_kept_and_spread_out() {
        assert_eq!(*turns(&[1]), [0]);
        assert_eq!(*turns(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(*turns(&[10, 10]), [0, 1]);
        assert_eq!(*turns(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert!(turns(&[]).is_empty());
    }

    #[test]
    fn another_attempt_is_another_peer() {
        let second = Duration::from_secs(1);
        let timeouts = Timeouts {
            connect: second,
            read: second,
            write: second,
            idle: second,
        };
        let peer = |port: u16, weight| {
            let address = PeerAddress::Tcp(([127, 0, 0, 1], port).into());
            Peer::new(
                "p",
                &address,
                weight,
                &timeouts,
                Speech::default(),
                &Pools::default(),
            )
            .unwrap()
        };
        let metrics = crate::Metrics::register(&prometheus::Registry::new()).unwrap();
        let name = Arc::from("u");
        let group = |peers| {
            let forward = Forward::DEFAULT.into();
            Upstream::new(&name, peers, 2, true, None, forward, &metrics).unwrap()
        };
        let single = group(vec![peer(1, 1)]);
        let group = group(vec![peer(1, 5), peer(2, 1)]);
        let first = group.turn();
        let second = group.turn_after(first);
        assert_ne!(group.turns[first], group.turns[second]);
        assert_eq!(single.turn_after(0), 0);
    }
}
