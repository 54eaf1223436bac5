//! What the bench needs and no package has:
//!
//!     bench-load rate ADDRESS PATH CONNECTIONS TIMEOUT_MS RATE:SECONDS,... [HEADER]...
//!     bench-load ws ADDRESS CONNECTIONS SECONDS BYTES
//!     bench-load echo ADDRESS
//!     bench-load slow ADDRESS SLOTS MILLISECONDS
//!
//! `rate` and `ws` are clients and print one JSON object; `echo` and `slow` are servers.

mod echo;
mod http;
mod phase;
mod rate;
mod slow;
mod summary;
mod ws;

use std::error::Error;
use std::process::ExitCode;

type Outcome = Result<(), Box<dyn Error>>;

const USAGE: &str = "usage: bench-load rate|ws|echo|slow ADDRESS ...";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Outcome {
    match words {
        [
            "rate",
            address,
            path,
            connections,
            timeout,
            phases,
            headers @ ..,
        ] => {
            let settings =
                rate::Settings::read(address, path, connections, timeout, phases, headers)?;
            rate::run(&settings)
        }
        ["ws", address, connections, seconds, bytes] => ws::run(
            address.parse()?,
            connections.parse()?,
            seconds.parse()?,
            bytes.parse()?,
        ),
        ["echo", address] => echo::run(address),
        ["slow", address, slots, milliseconds] => {
            slow::run(address, slots.parse()?, milliseconds.parse()?)
        }
        _ => Err(USAGE.into()),
    }
}
