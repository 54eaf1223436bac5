//! Rate limits whose state belongs to the host: shared by all instances and threads, kept over a
//! swap of the plugin, bounded in memory.

use std::time::Duration;

use crate::time::nanoseconds;
use crate::{Error, host};

pub use crate::bindings::host::tidegate::plugin::limiter::{Bucket, Scope};

/// What [`take`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the tokens were taken. Where not, nothing was.
    pub allowed: bool,
    /// Whole tokens that are left.
    pub remaining: u64,
    /// The time until the bucket is full again.
    pub full_after: Duration,
    /// The time until the same call would be allowed; zero where it was.
    pub retry_after: Duration,
}

impl Bucket {
    /// A token bucket: it holds up to `burst` tokens and gains `tokens` every `period`, evenly. It
    /// starts full. Each is at least 1; periods above 584 years are cut there.
    pub fn new(tokens: u64, period: Duration, burst: u64) -> Self {
        Self {
            tokens,
            period: nanoseconds(period),
            burst,
        }
    }
}

/// Take `cost` tokens from the bucket of `key`.
///
/// # Errors
///
/// [`Error::InvalidArgument`] for a cost above `burst` or a bucket with a zero;
/// [`Error::Unavailable`] where the limiter cannot answer.
pub fn take(scope: Scope, key: &[u8], bucket: &Bucket, cost: u64) -> Result<Outcome, Error> {
    let outcome = host::limiter::take(scope, key, *bucket, cost)?;
    Ok(Outcome {
        allowed: outcome.allowed,
        remaining: outcome.remaining,
        full_after: Duration::from_nanos(outcome.full_after),
        retry_after: Duration::from_nanos(outcome.retry_after),
    })
}
