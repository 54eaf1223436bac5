//! A bound on log lines that anybody can cause.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines per second.
const LINES: u64 = 20;

/// Lets so many lines of one kind pass in each second, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// The second, and in the lower half how many lines were asked for in it.
    second: AtomicU64,
    left_out: AtomicU64,
}

impl Throttle {
    pub(crate) const fn new() -> Throttle {
        Throttle {
            second: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    /// Whether a line may be written, and how many were left out since the last.
    pub(crate) fn pass(&self) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.pass_at(now.map_or(0, |now| now.as_secs()))
    }

    fn pass_at(&self, second: u64) -> Option<u64> {
        // Threads that meet at the turn of a second let a few lines more or less pass.
        let mut count = self.second.fetch_add(1, Ordering::Relaxed);
        if count >> 32 != second & u64::from(u32::MAX) {
            count = second << 32;
            self.second.store(count + 1, Ordering::Relaxed);
        }
        if count & u64::from(u32::MAX) < LINES {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_lets_a_few_pass_and_says_how_many_did_not() {
        let throttle = Throttle::new();
        let passed = (0..100).filter_map(|_| throttle.pass_at(7)).count();
        assert_eq!(passed as u64, LINES);
        assert_eq!(throttle.pass_at(8), Some(100 - LINES));
        assert_eq!(throttle.pass_at(8), Some(0));
    }
}
