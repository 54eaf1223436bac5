//! The interface `random`, with a seed.

use super::super::Host;
use super::super::call::with;

/// The most bytes of one call.
const BYTES_MAX: usize = 64 * 1024;

impl Host {
    /// Where the random numbers begin. The same seed makes the same numbers; without one it is 0.
    pub fn set_seed(&mut self, seed: u64) {
        self.random.seed(seed);
    }
}

pub(crate) fn bytes(count: u32) -> Vec<u8> {
    let count = usize::try_from(count).map_or(BYTES_MAX, |count| count.min(BYTES_MAX));
    let mut bytes = vec![0; count];
    with(|current| current.host.random.fill(&mut bytes));
    bytes
}

pub(crate) fn number() -> u64 {
    with(|current| current.host.random.u64(..))
}
