//! Whether a call that is late has computed for too long, or only waited.
//!
//! Of a plugin that can wait for something, what it computes is the time in which its future is being
//! polled ([`Busy`]); when it is late, it gets what it has left.
//!
//! Of one that cannot, the whole call is computing. But the epoch counts time on the wall. On a busy machine a thread can lose its processor for longer than a
//! deadline, and a harmless call would be cut; with the policy `closed` that is a 503 for nothing. So a
//! call is asked twice: at half its deadline, where its thread's processor time is noted, and at the end,
//! where it is cut only if it has used the other half. Calls that are in time are never asked.

use crate::engine::{TICK, ticks};
use rustix::time::{ClockId, clock_gettime};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A call that gets no processor is cut after this many deadlines, whatever it computed.
const PATIENCE: u32 = 20;

/// The clock of a call.
pub(crate) enum CallClock {
    /// Of a call that cannot wait.
    Straight(Overtime),
    /// Of a call that can.
    Waiting(Arc<Busy>, Duration),
}

impl CallClock {
    /// The clock of a call that begins now, and the ticks after which it is asked first.
    pub(crate) fn start(waits: bool, deadline: Duration) -> (CallClock, u64) {
        if waits {
            let busy = Arc::new(Busy::new());
            (CallClock::Waiting(busy, deadline), ticks(deadline))
        } else {
            let overtime = Overtime::new(deadline);
            (CallClock::Straight(overtime), ticks(deadline / 2))
        }
    }

    /// Ticks until the call is asked again; `None` to cut it.
    pub(crate) fn ask(&mut self) -> Option<u64> {
        match self {
            CallClock::Straight(overtime) => overtime.ask(),
            CallClock::Waiting(busy, deadline) => {
                let left = deadline.saturating_sub(busy.so_far());
                (left > Duration::ZERO).then(|| ticks(left))
            }
        }
    }

    /// Drive a call to its end, counting the time in which it computes.
    pub(crate) async fn drive<F: Future>(busy: Option<Arc<Busy>>, call: F) -> F::Output {
        let mut call = pin!(call);
        poll_fn(|context| {
            let begun = busy.as_ref().map(|busy| busy.begin());
            let polled = call.as_mut().poll(context);
            if let (Some(busy), Some(begun)) = (&busy, begun) {
                busy.end(begun);
            }
            polled
        })
        .await
    }

    /// What counts the computing of a call that can wait.
    pub(crate) fn busy(&self) -> Option<Arc<Busy>> {
        match self {
            CallClock::Straight(_) => None,
            CallClock::Waiting(busy, _) => Some(busy.clone()),
        }
    }
}

/// How long a call has computed, over all the times that it was polled.
pub(crate) struct Busy {
    start: Instant,
    /// Nanoseconds of polls that ended.
    done: AtomicU64,
    /// Nanoseconds after `start` at which the present poll began.
    since: AtomicU64,
}

impl Busy {
    fn new() -> Busy {
        Busy {
            start: Instant::now(),
            done: AtomicU64::new(0),
            since: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn begin(&self) -> u64 {
        let now = self.now();
        self.since.store(now, Ordering::Relaxed);
        now
    }

    fn end(&self, begun: u64) {
        self.done.fetch_add(self.now() - begun, Ordering::Relaxed);
    }

    /// To be asked from within a poll.
    fn so_far(&self) -> Duration {
        let present = self
            .now()
            .saturating_sub(self.since.load(Ordering::Relaxed));
        Duration::from_nanos(self.done.load(Ordering::Relaxed) + present)
    }
}

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
