//! Clocks.

use std::time::Duration;

use crate::host;

/// The time since 1970-01-01T00:00:00Z.
pub fn now() -> Duration {
    Duration::from_nanos(host::clock::now())
}

/// The time of a clock that never goes back; only differences mean something.
pub fn monotonic() -> Duration {
    Duration::from_nanos(host::clock::monotonic())
}
