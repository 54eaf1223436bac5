//! The runtime with real plugins, without a proxy: components from `tests/guests` (`make guests` builds
//! them), called through a chain as the data path calls them.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod calls;
mod load;
mod support;
