//! The HTTP data path, on Pingora.
//!
//! The life of a request, one file each:
//!
//! 1. [`serve`](Server::serve) (`serve.rs`): TLS begins (`handshake.rs`), a connection is HTTP/1.1 or HTTP/2; its
//!    bytes go through `io.rs`.
//! 2. `phase/accept.rs`: the head is checked and normalised, deadlines are set, a snapshot is taken.
//! 3. `phase/request.rs`: the route is found, its plugins run; fixed answers are given here, and those of
//!    `https_redirect.rs` and `maintenance.rs`.
//! 4. `phase/upstream_peer.rs`, `phase/upstream_request.rs`: a peer is chosen, once the upstream may have one more
//!    request (`admission.rs`); the head is completed.
//! 5. `phase/request_body.rs`: the body is counted, and goes through plugins.
//! 6. `phase/response.rs`: plugins run in reverse; `interpose.rs` takes the body through them.
//! 7. `phase/failure.rs`: any error becomes a response, here and nowhere else; `error_pages.rs` has what clients see.
//! 8. `phase/log.rs`: access log and metrics.
//!
//! `life.rs` takes requests through them, up to an upstream of HTTP/1.1 (`http1/`); to one of HTTP/2, Pingora does.
//!
//! A request reads one immutable [`State`], taken at its start. Nothing here knows of WebAssembly or of
//! configuration files; the binary puts the parts together.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod abuse;
mod access_log;
mod admission;
mod attribute_metrics;
mod body_clock;
mod chunk_scan;
mod client;
mod connect;
mod context;
mod echo;
mod error_pages;
mod forward;
mod frame_scan;
mod grpc_web;
mod guard;
mod handshake;
mod head;
mod head_scan;
mod hop_by_hop;
mod hsts;
mod http1;
mod https_redirect;
mod interpose;
mod io;
mod life;
mod maintenance;
mod metrics;
mod own_fields;
mod peer;
pub mod phase;
mod plugins;
mod respond;
mod serve;
mod sockets;
mod state;
mod takeable;
mod throttle;
mod tlv_attributes;
mod tunnel;
mod upstream;

pub use access_log::{AccessLog, Format};
pub use admission::{Admission, Bounds as AdmissionBounds};
pub use attribute_metrics::AttributeMetrics;
pub use client::ClientAddress;
pub use connect::{
    ClientTls, ConnectError, Connected, Connector, Plain, ProxiedFor, TlsError, TlsOptions,
};
pub use context::{Connection, Context};
pub use error_pages::{ErrorPages, Page};
pub use forward::Forward;
pub use hsts::hsts;
pub use http1::Pools;
pub use maintenance::Maintenance;
pub use metrics::{Metrics, RouteMetrics};
pub use peer::{Peer, PeerAddress, Speech, Timeouts};
pub use phase::challenge::Challenges;
pub use phase::log::Journal;
pub use rustls_pki_types::ServerName;
pub use serve::Server;
pub use sockets::{Socket, Sockets};
pub use state::{Limits, ListenerState, Redirect, RequestLimits, Route, State, Target};
pub use upstream::{Upstream, UpstreamError};
