//! Limiters, whose state belongs to the host: token buckets, sliding windows, and leases, of which a key has
//! so many at a time.
//!
//! [`Buckets`], [`Windows`] and [`Leases`] are in memory, bounded by a number of keys, and never wait. Their keys are
//! hashed by the caller, with a seed that nobody else knows. [`Shared`] has all three in Redis, for the limits
//! that several proxies share.
//!
//! Where the bound in memory is reached, an old key gives way and starts anew, in the client's favour.

mod bucket;
mod lease;
mod shared;
#[cfg(test)]
mod shared_tests;
mod window;

pub use bucket::{Buckets, Rate};
pub use lease::{Lease, Leases};
pub use shared::{Shared, SharedLease};
pub use window::{Window, Windows};

/// The keys that can be in one set of a table.
const WAYS: usize = 8;

/// What a bucket or a window decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether the cost was taken. Where not, nothing was.
    pub allowed: bool,
    /// The highest cost that would be allowed now.
    pub remaining: u64,
    /// Nanoseconds until all of the limit is there again.
    pub full_after: u64,
    /// Nanoseconds until the same call would be allowed; 0 where it was.
    pub retry_after: u64,
}
