//! What the micro-benches of the crates (`host/*/benches`) share; each includes this file as a module. It is
//! no crate, so that a bench adds no dependency, and the code that is timed is built as for the proxy.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Calls between two looks at the clock.
const CALLS: u32 = 1_000;
const SECONDS: f64 = 0.3;

/// Print the time of one call: the best of many samples, which is what the machine's other work
/// disturbs least.
pub(crate) fn measure<T>(name: &str, mut call: impl FnMut() -> T) {
    let mut sample = || {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(call());
        }
        start.elapsed()
    };
    let end = Instant::now() + Duration::from_secs_f64(SECONDS);
    let mut best = Duration::MAX;
    while Instant::now() < end {
        best = best.min(sample());
    }
    let nanoseconds = best.as_secs_f64() * 1e9 / f64::from(CALLS);
    println!("{name:<54} {nanoseconds:>9.1} ns");
}

/// The output of a future that does not wait. Nobody would wake it.
#[allow(dead_code, reason = "not every bench has futures")]
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("what is timed waits"),
    }
}
