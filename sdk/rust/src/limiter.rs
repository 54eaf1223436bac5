//! Rate limits whose state belongs to the host: shared by all instances and threads, kept over a
//! swap of the plugin, bounded in memory.

use std::time::Duration;

use crate::time::nanoseconds;
use crate::{Error, host};

pub use wit::{Bucket, Scope, Window};

use crate::bindings::host::tidegate::plugin::limiter as wit;

/// What [`take`] or [`take_window`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the tokens were taken. Where not, nothing was.
    pub allowed: bool,
    /// What is left, in whole tokens.
    pub remaining: u64,
    /// The time until all of it is there again.
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
    host::limiter::take(scope, key, *bucket, cost).map(Outcome::from)
}

impl Window {
    /// A sliding window: at most `limit` in any `period`, both at least 1. It is estimated from the
    /// counts of the present and the last period, the latter weighted by how much of it the window
    /// still covers.
    pub fn new(limit: u64, period: Duration) -> Self {
        Self {
            limit,
            period: nanoseconds(period),
        }
    }
}

/// Count `cost` in the window of `key`, if that stays within the limit.
///
/// ```
/// # use std::time::Duration;
/// # use tidegate_sdk::limiter::{Scope, Window};
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::testing::{Exchange, Instance};
/// # #[derive(Deserialize)]
/// # struct Hundred {}
/// # #[plugin]
/// # impl Plugin for Hundred {
/// fn on_request(&self, request: &mut Request) -> Action {
///     let window = Window::new(100, Duration::from_secs(60));
///     match limiter::take_window(Scope::Route, request.host().as_bytes(), &window, 1) {
///         Ok(outcome) if !outcome.allowed => request.respond(Reply::new(429)),
///         _ => Action::Proceed,
///     }
/// }
/// # }
/// # let mut hundred = Instance::<Hundred>::configure("{}").unwrap();
/// # for _ in 0..100 {
/// #     assert_eq!(hundred.on_request(&mut Exchange::get("/")), Action::Proceed);
/// # }
/// # assert_eq!(hundred.on_request(&mut Exchange::get("/")), Action::Respond);
/// ```
///
/// # Errors
///
/// As for [`take`], with the limit in the place of `burst`.
pub fn take_window(scope: Scope, key: &[u8], window: &Window, cost: u64) -> Result<Outcome, Error> {
    host::limiter::take_window(scope, key, *window, cost).map(Outcome::from)
}

/// Take one of `limit` places of `key`, for as long as this exchange lasts: the host gives it back
/// when the exchange is over, however it ends, or after `ttl`. Answers whether there was a place.
///
/// # Errors
///
/// [`Error::InvalidArgument`] for a limit or a time of zero; [`Error::WrongPhase`] outside of
/// exchanges; [`Error::Unavailable`] where the limiter cannot answer.
pub fn acquire(scope: Scope, key: &[u8], limit: u64, ttl: Duration) -> Result<bool, Error> {
    host::limiter::acquire(scope, key, limit, nanoseconds(ttl))
}

/// Give a place of `key` back that this exchange took, before it ends.
///
/// # Errors
///
/// As for [`acquire`].
pub fn release(scope: Scope, key: &[u8]) -> Result<(), Error> {
    host::limiter::release(scope, key)
}

impl From<wit::Outcome> for Outcome {
    fn from(outcome: wit::Outcome) -> Self {
        Self {
            allowed: outcome.allowed,
            remaining: outcome.remaining,
            full_after: Duration::from_nanos(outcome.full_after),
            retry_after: Duration::from_nanos(outcome.retry_after),
        }
    }
}
