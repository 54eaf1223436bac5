//! Time as the contract counts it.

use std::time::Duration;

/// Nanoseconds; times above 584 years are cut there.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    saturated(time.as_nanos())
}

/// The number, or the largest that fits.
pub(crate) fn saturated(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
