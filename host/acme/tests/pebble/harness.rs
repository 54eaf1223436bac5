//! What the tests of the whole proxy have, as far as it is about authorities.
#![allow(dead_code, unused_imports)]

#[path = "../../../../tests/harness/dns.rs"]
mod dns;
#[path = "../../../../tests/harness/pebble.rs"]
mod pebble;
#[path = "../../../../tests/harness/program.rs"]
mod program;
#[path = "../../../../tests/harness/wait.rs"]
mod wait;

pub use dns::{Named, free_port};
pub use pebble::{Pebble, Settings};
pub use program::tool;
pub use wait::until;
