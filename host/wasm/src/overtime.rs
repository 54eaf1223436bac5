//! Whether a call that is late has computed for too long, or only waited for a processor.
//!
//! The epoch counts time on the wall. On a busy machine a thread can lose its processor for longer than a
//! deadline, and a harmless call would be cut; with the policy `closed` that is a 503 for nothing. So a
//! call is asked twice: at half its deadline, where its thread's processor time is noted, and at the end,
//! where it is cut only if it has used the other half. Calls that are in time are never asked.

use crate::engine::{TICK, ticks};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// A call that gets no processor is cut after this many deadlines, whatever it computed.
const PATIENCE: u32 = 20;

/// What is known of a call that is at half its deadline or later.
pub(crate) struct Overtime {
    half: Duration,
    /// When it was first asked, on both clocks.
    asked: Option<(Duration, Instant)>,
}

impl Overtime {
    pub(crate) fn new(deadline: Duration) -> Overtime {
        Overtime {
            half: deadline / 2,
            asked: None,
        }
    }

    /// Ticks until the call is asked again; `None` to cut it.
    pub(crate) fn ask(&mut self) -> Option<u64> {
        let Some((processor, wall)) = self.asked else {
            self.asked = Some((processor_time(), Instant::now()));
            return Some(ticks(self.half));
        };
        let used = processor_time().saturating_sub(processor);
        // The last tick counts as whole, since it may have been used wholly.
        let left = self.half.saturating_sub(used + TICK);
        let patience = self.half * PATIENCE;
        (left > Duration::ZERO && wall.elapsed() < patience).then(|| ticks(left))
    }
}

/// Of this thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(time: Duration) {
        let start = processor_time();
        while processor_time() - start < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn computing_is_cut_and_waiting_is_not() {
        let deadline = Duration::from_millis(40);
        let mut waits = Overtime::new(deadline);
        assert!(waits.ask().is_some());
        std::thread::sleep(deadline);
        assert!(waits.ask().is_some());
        let mut computes = Overtime::new(deadline);
        assert!(computes.ask().is_some());
        compute(deadline / 2);
        assert_eq!(computes.ask(), None);
    }

    #[test]
    fn patience_ends() {
        let mut waits = Overtime::new(Duration::from_millis(4));
        waits.ask();
        std::thread::sleep(Duration::from_millis(2) * (PATIENCE + 5));
        assert_eq!(waits.ask(), None);
    }
}
