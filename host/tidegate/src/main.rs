//! Tidegate: the command line. `app.rs` is the file to read first.
#![forbid(unsafe_code)]
#![allow(
    unreachable_pub,
    reason = "a binary has no outside; `pub` says what other files use"
)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod acme;
mod admin;
mod admissions;
mod app;
mod assemble;
mod certificates;
mod cli;
mod doubtful;
mod exposed;
mod grants;
mod library;
mod listeners;
mod maintenance;
mod notify;
mod open_files;
mod pages;
mod reload;
mod shutdown;
mod tls;
mod trace;
mod upstreams;
mod watch;

use clap::Parser;
use std::process::ExitCode;

// Many small allocations of many threads: what the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
