//! Whether a call that is late has computed for too long, or only waited.
//!
//! Of a plugin that can wait for something, what it computes is the time in which its future is being
//! polled ([`Busy`]); when it is late, it gets what it has left.
//!
//! Of one that cannot, the whole call is computing. But the epoch counts time on the wall. On a busy machine a thread can lose its processor for longer than a
//! deadline, and a harmless call would be cut; with the policy `closed` that is a 503 for nothing. So a
//! call is asked twice: at half its deadline, where its thread's processor time is noted, and at the end,
//! where it is cut only if it has used the other half. Calls that are in time are never asked.

use crate::ticker::{TICK, Ticker, ticks};
use rustix::time::{ClockId, clock_gettime};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A call that gets no processor is cut after this many deadlines, whatever it computed.
const PATIENCE: u32 = 20;

/// The clock of an instance's calls, one after the other.
pub(crate) struct CallClock {
    ticker: Arc<Ticker>,
    computed: Computed,
    /// Whether the ticker was told that the present call is late.
    late: bool,
}

/// What a call has computed so far.
enum Computed {
    /// Of a call that cannot wait.
    Straight(Overtime),
    /// Of a call that can, and its deadline.
    Waiting(Arc<Busy>, Duration),
}

impl CallClock {
    pub(crate) fn new(ticker: Arc<Ticker>) -> CallClock {
        CallClock {
            ticker,
            computed: Computed::Straight(Overtime::new(Duration::ZERO)),
            late: false,
        }
    }

    /// A call begins. The ticks after which it is asked first: its store has to get them as its deadline,
    /// and then [`CallClock::started`] to be called.
    pub(crate) fn start(&mut self, waits: bool, deadline: Duration) -> u32 {
        if waits {
            self.computed = Computed::Waiting(Arc::new(Busy::new()), deadline);
            self.ticker.steps(deadline)
        } else {
            self.computed = Computed::Straight(Overtime::new(deadline));
            self.ticker.steps(deadline / 2)
        }
    }

    /// The store has its deadline, so many ticks ahead.
    pub(crate) fn started(&self, ticks: u32) {
        self.ticker.want(ticks);
    }

    /// Ticks until the call is asked again; `None` to cut it.
    pub(crate) fn ask(&mut self) -> Option<u64> {
        let left = match &mut self.computed {
            Computed::Straight(overtime) => overtime.ask(),
            Computed::Waiting(busy, deadline) => {
                let left = deadline.saturating_sub(busy.so_far());
                (left > Duration::ZERO).then_some(left)
            }
        };
        // One more, because the first may end at once.
        let ticks = ticks(left?) + 1;
        if !self.late {
            self.late = true;
            self.ticker.late(ticks);
        }
        Some(ticks.into())
    }

    /// The call is over.
    pub(crate) fn end(&mut self) {
        if self.late {
            self.late = false;
            self.ticker.late_is_over();
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
        match &self.computed {
            Computed::Straight(_) => None,
            Computed::Waiting(busy, _) => Some(busy.clone()),
        }
    }
}

impl Drop for CallClock {
    fn drop(&mut self) {
        self.end();
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
struct Overtime {
    half: Duration,
    /// When it was first asked, on both clocks.
    asked: Option<(Duration, Instant)>,
}

impl Overtime {
    fn new(deadline: Duration) -> Overtime {
        Overtime {
            half: deadline / 2,
            asked: None,
        }
    }

    /// After how long the call is asked again; `None` to cut it.
    fn ask(&mut self) -> Option<Duration> {
        let Some((processor, wall)) = self.asked else {
            self.asked = Some((processor_time(), Instant::now()));
            return Some(self.half);
        };
        let used = processor_time().saturating_sub(processor);
        // The last tick counts as whole, since it may have been used wholly.
        let left = self.half.saturating_sub(used + TICK);
        let patience = self.half * PATIENCE;
        (left > Duration::ZERO && wall.elapsed() < patience).then_some(left)
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
