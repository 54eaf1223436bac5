//! Time as the contract counts it.

use std::time::Duration;

/// Nanoseconds; times above 584 years are cut there.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
