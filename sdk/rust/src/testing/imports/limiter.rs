//! The interface `limiter`.

use std::time::Duration;

use super::super::call::with;
use crate::Error;
use crate::bindings::host::tidegate::plugin::limiter::{Bucket, Outcome, Scope};

pub(crate) fn take(scope: Scope, key: &[u8], bucket: Bucket, cost: u64) -> Result<Outcome, Error> {
    if bucket.tokens == 0 || bucket.period == 0 || bucket.burst == 0 || cost > bucket.burst {
        return Err(Error::InvalidArgument);
    }
    with(|current| {
        let host = &mut current.host;
        if host.limiter_unavailable {
            return Err(Error::Unavailable);
        }
        let now = host.elapsed;
        let tokens = host.buckets.entry((scope as u8, key.to_vec()));
        let tokens = tokens.or_insert_with(|| Tokens::full(&bucket, now));
        Ok(tokens.take(&bucket, cost, now))
    })
}

/// One token bucket.
#[derive(Debug)]
pub(in crate::testing) struct Tokens {
    /// Tokens times the period's nanoseconds, so that division comes last.
    level: u128,
    /// When the level was right.
    at: Duration,
}

impl Tokens {
    pub(in crate::testing) fn full(bucket: &Bucket, now: Duration) -> Self {
        Self {
            level: capacity(bucket),
            at: now,
        }
    }

    pub(in crate::testing) fn take(
        &mut self,
        bucket: &Bucket,
        cost: u64,
        now: Duration,
    ) -> Outcome {
        let gained = (now.saturating_sub(self.at)).as_nanos() * u128::from(bucket.tokens);
        self.level = (self.level + gained).min(capacity(bucket));
        self.at = now;

        let price = u128::from(cost) * u128::from(bucket.period);
        let allowed = self.level >= price;
        if allowed {
            self.level -= price;
        }
        let wait = |units: u128| nanoseconds(units.div_ceil(u128::from(bucket.tokens)));
        Outcome {
            allowed,
            remaining: nanoseconds(self.level / u128::from(bucket.period)),
            full_after: wait(capacity(bucket) - self.level),
            retry_after: if allowed { 0 } else { wait(price - self.level) },
        }
    }
}

fn capacity(bucket: &Bucket) -> u128 {
    u128::from(bucket.burst) * u128::from(bucket.period)
}

fn nanoseconds(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
