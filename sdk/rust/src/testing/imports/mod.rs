//! The host's functions off Wasm: one file for each interface of the contract, with the same names
//! and signatures as the imports in `bindings/host.rs`, working on the current call.

pub(crate) mod attributes;
pub(crate) mod body;
pub(crate) mod clock;
pub(crate) mod crypto;
pub(crate) mod http_client;
pub(crate) mod interest;
pub(crate) mod kv;
pub(crate) mod limiter;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod outcome;
pub(crate) mod random;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod secrets;
pub(crate) mod trailers;
pub(crate) mod upstream;
