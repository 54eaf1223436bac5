#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
pub mod certdefs;
mod name;
mod schedule;
pub use name::*;
pub use schedule::*;
