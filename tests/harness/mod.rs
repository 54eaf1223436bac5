//! What tests are made of: a [`Proxy`] (the real program), an [`Origin`] behind it, and clients in front
//! of it: [`Client`] for HTTP as it should be, [`Wire`] for bytes as they come.
//!
//! ```ignore
//! let origin = Origin::echo().await;
//! let proxy = Proxy::start(&route_to(&origin)).await;
//! assert_eq!(proxy.get("/x").await.status, 200);
//! assert_eq!(origin.seen()[0].target, "/x");
//! ```
//!
//! Ports come from the system, whatever is waited for is a condition with a deadline, and what a test
//! started ends with the test.

mod client;
mod dns;
pub mod frames;
mod log;
mod message;
mod metrics;
mod origin;
mod pebble;
mod program;
mod proxy;
mod python;
mod redis;
mod tls;
mod wait;
pub mod websocket;
mod wire;

pub use client::Client;
pub use dns::{Named, free_port};
pub use frames::{Frames, Outcome};
pub use log::Line;
pub use message::{Body, Request, Response, get, post, request, streamed, with_header};
pub use metrics::metric;
pub use origin::{Origin, Seen, black_hole, refusing_address};
pub use pebble::{Pebble, Settings as PebbleSettings};
pub use program::{
    Exit, activated, binary, repository, run, skipped, tidegate, tidegate_in_time, tidegate_with,
    tool, with_deaf_output, with_open_files,
};
pub use proxy::Proxy;
pub use python::python;
pub use redis::Redis;
pub use tls::{Authority, Issued, TlsClient};
pub use wait::{soon, until};
pub use wire::Wire;

/// The configuration of a proxy whose memory is measured: as many threads on every machine.
pub const TWO_THREADS: &str = "[server]\nthreads = 2\n";

/// The configuration of one upstream `app` and one route `all` to it.
pub fn route_to(origin: &Origin) -> String {
    route_to_peers(&format!("{:?}", origin.address()))
}

/// As [`route_to`], with the list of peers as TOML has it.
pub fn route_to_peers(peers: &str) -> String {
    upstream(&format!("peers = [{peers}]"))
}

/// As [`route_to`], with all keys of the upstream.
pub fn upstream(keys: &str) -> String {
    format!(
        "
[[route]]
name = \"all\"
upstream = \"app\"

[upstream.app]
{keys}
"
    )
}

/// The configuration of one route `all` that answers with the request as an upstream would see it.
pub const ECHO: &str = r#"
[[route]]
name = "all"
respond = { echo = true }
"#;
