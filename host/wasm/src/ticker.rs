//! The thread that moves the epoch, by which a guest that computes is made to look at the clock.
//!
//! A thread of its own, because a guest that spins on a worker also stops that worker's timers; and one that
//! sleeps for as long as no deadline is ahead, because a proxy that has nothing to do should do nothing.
//!
//! A call gives its store a deadline, so many ticks from the epoch that it finds, and then says here how many
//! that are ([`Ticker::want`]). The thread ticks at least as often after it has heard of them, so every
//! deadline is reached, whoever lost the processor for however long meanwhile; then it parks. A call that is
//! [late](Ticker::late) gets its next deadline from the engine only after it has asked for it, in an epoch
//! that nobody can tell: while there are such calls, the thread goes on, also while one that waits is not polled.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering, fence};
use std::thread::{self, Thread};
use std::time::Duration;

/// What the epoch counts.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks at once, while no call is late and no deadline is short.
const STEP_MAX: u32 = 5;

/// In the place of ticks that are wanted: the thread is parked, and has to be woken.
const PARKED: i64 = -1;

/// What calls and the thread know of each other.
pub(crate) struct Ticker {
    /// The most ticks that a call asked for since the thread looked last, or [`PARKED`].
    wanted: AtomicI64,
    /// Calls that were late and are not over.
    late: AtomicUsize,
    /// Ticks at once, while no call is late.
    step: AtomicI64,
    thread: OnceLock<Thread>,
    stopped: AtomicBool,
}

impl Ticker {
    pub(crate) fn new() -> Ticker {
        Ticker {
            wanted: AtomicI64::new(0),
            late: AtomicUsize::new(0),
            step: AtomicI64::new(STEP_MAX.into()),
            thread: OnceLock::new(),
            stopped: AtomicBool::new(false),
        }
    }

    /// There will be calls with this deadline: the epoch moves at least twice within it.
    pub(crate) fn serve(&self, deadline: Duration) {
        let half = (deadline / 2).as_nanos() / TICK.as_nanos();
        let half = i64::try_from(half).unwrap_or(i64::MAX).max(1);
        self.step.fetch_min(half, Ordering::Relaxed);
    }

    /// Ticks after which the epoch has moved for this long, whenever its next step is due.
    pub(crate) fn steps(&self, time: Duration) -> u32 {
        let step = u32::try_from(self.step.load(Ordering::Relaxed)).unwrap_or(STEP_MAX);
        // One more, because the first may end at once.
        (ticks(time).div_ceil(step) + 1).saturating_mul(step)
    }

    /// A store has a deadline, so many ticks after the epoch that it read before.
    pub(crate) fn want(&self, ticks: u32) {
        // Whoever read an epoch of after the thread looked also sees that it looked, below.
        fence(Ordering::Acquire);
        if self.wanted.load(Ordering::Relaxed) < ticks.into() {
            self.ask(ticks);
        }
    }

    /// A call goes on beyond what it was given; it is asked again after so many ticks.
    pub(crate) fn late(&self, ticks: u32) {
        self.late.fetch_add(1, Ordering::Relaxed);
        // Even where as many are wanted already: whoever takes them knows of the late call.
        self.ask(ticks);
    }

    /// A call that was late is over.
    pub(crate) fn late_is_over(&self) {
        self.late.fetch_sub(1, Ordering::Relaxed);
    }

    #[cold]
    fn ask(&self, ticks: u32) {
        let before = self.wanted.fetch_max(ticks.into(), Ordering::AcqRel);
        if before == PARKED {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Be the thread, until [`Ticker::stop`].
    pub(crate) fn run(&self, tick: impl Fn()) {
        let _ = self.thread.set(thread::current());
        let mut left = 0;
        while !self.stopped.load(Ordering::Relaxed) {
            left = self.wanted.swap(0, Ordering::AcqRel).max(left);
            let late = self.late.load(Ordering::Relaxed) > 0;
            if left == 0 && !late {
                self.park();
                continue;
            }
            let step = match late {
                true => 1,
                false => self.step.load(Ordering::Relaxed),
            };
            thread::sleep(TICK * u32::try_from(step).unwrap_or(1));
            fence(Ordering::Release);
            (0..step).for_each(|_| tick());
            left = (left - step).max(0);
        }
    }

    /// Until somebody wants something; perhaps shorter.
    fn park(&self) {
        let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
        let parked = self
            .wanted
            .compare_exchange(0, PARKED, success, failure)
            .is_ok();
        if parked {
            thread::park();
        }
    }

    /// End the thread.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.wake();
    }
}

/// Whole ticks that are at least this long.
pub(crate) fn ticks(time: Duration) -> u32 {
    let ticks = time.as_nanos().div_ceil(TICK.as_nanos());
    // A month is for ever.
    u32::try_from(ticks).map_or(1 << 31, |ticks| ticks.min(1 << 31))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::time::Instant;

    /// A machine that runs other tests as well does not take longer.
    const LONG: Duration = Duration::from_secs(30);

    /// The ticker beside what calls do with it, and the epoch that it moves.
    fn beside(calls: impl FnOnce(&Ticker, &AtomicU64)) {
        let (ticker, epoch) = (Ticker::new(), AtomicU64::new(0));
        thread::scope(|scope| {
            scope.spawn(|| ticker.run(|| _ = epoch.fetch_add(1, Ordering::Relaxed)));
            let stopped = Stopped(&ticker);
            calls(stopped.0, &epoch);
        });
    }

    struct Stopped<'a>(&'a Ticker);

    impl Drop for Stopped<'_> {
        fn drop(&mut self) {
            self.0.stop();
        }
    }

    fn until(what: &str, reached: impl Fn() -> bool) {
        let start = Instant::now();
        while !reached() {
            assert!(start.elapsed() < LONG, "{what}");
            thread::yield_now();
        }
    }

    fn is_parked(ticker: &Ticker) -> bool {
        ticker.wanted.load(Ordering::Relaxed) == PARKED
    }

    #[test]
    fn it_ticks_as_often_as_somebody_wants_and_parks() {
        beside(|ticker, epoch| {
            until("parked without a call", || is_parked(ticker));
            assert_eq!(epoch.load(Ordering::Relaxed), 0);
            for (wanted, moved) in [(7, 10), (20, 20)] {
                let before = epoch.load(Ordering::Relaxed);
                ticker.want(wanted);
                until("parked again", || is_parked(ticker));
                assert_eq!(epoch.load(Ordering::Relaxed) - before, moved);
            }
        });
    }

    #[test]
    fn every_deadline_is_reached() {
        let call = |ticker: &Ticker, epoch: &AtomicU64, number: u32| {
            let (start, ticks) = (epoch.load(Ordering::Relaxed), 1 + number % 13);
            ticker.want(ticks);
            until("the deadline", || {
                epoch.load(Ordering::Relaxed) >= start + u64::from(ticks)
            });
            // So that it also parks between.
            if number.is_multiple_of(3) {
                thread::sleep(TICK * (number % 20));
            }
        };
        beside(|ticker, epoch| {
            ticker.serve(Duration::from_millis(2));
            thread::scope(|scope| {
                for thread in 0..8 {
                    let calls = move || (0..100).for_each(|n| call(ticker, epoch, n * 7 + thread));
                    scope.spawn(calls);
                }
            });
        });
    }

    #[test]
    fn it_goes_on_for_a_late_call_until_that_is_over() {
        beside(|ticker, epoch| {
            until("parked without a call", || is_parked(ticker));
            ticker.late(3);
            until("many ticks", || epoch.load(Ordering::Relaxed) > 50);
            ticker.late_is_over();
            until("parked again", || is_parked(ticker));
        });
    }

    #[test]
    fn steps_are_whole_and_fit_into_a_deadline_twice() {
        let ms = Duration::from_millis;
        let ticker = Ticker::new();
        assert_eq!([ms(5), ms(6)].map(|time| ticker.steps(time)), [10, 15]);
        ticker.serve(ms(5));
        ticker.serve(ms(10));
        assert_eq!([ms(5), ms(7)].map(|time| ticker.steps(time)), [8, 10]);
        ticker.serve(Duration::from_micros(1));
        assert_eq!(ticker.steps(ms(5)), 6);
        assert!(ticker.steps(Duration::MAX) > 1 << 31);
    }
}
