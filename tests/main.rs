//! Tests of the whole proxy: the program as its users run it, with clients in front of it and origins
//! behind it. `README.md` beside this file says where a new test goes.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]
#![allow(
    unreachable_pub,
    reason = "nothing outside can reach a test binary; `pub` is what a module offers to the tests"
)]

mod harness;

mod acme;
mod clients;
mod hostile;
mod http;
mod plugin;
mod process;
mod tls;
mod tunnel;
