//! What plugins may be granted, without saying how a plugin calls it.
//!
//! One module for each capability. No WebAssembly and no proxy engine in here: `tidegate-wasm` puts each
//! of them behind a host interface, the binary makes them from the configuration. A capability is given
//! typed settings, bounds whatever a plugin asks of it, and answers with an error of its own.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod crypto;
pub mod http;
pub mod kv;
pub mod limiter;
pub mod redis;
pub mod secret;
