//! One file for each moment of a request. The trait impl in the binary's `app.rs` calls them by name.

pub mod accept;
pub mod failure;
pub mod log;
pub mod request;
pub mod request_body;
pub mod response;
pub mod upstream_peer;
pub mod upstream_request;
