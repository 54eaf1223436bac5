//! What wit-bindgen makes of `wit/`, checked in so that building a plugin needs no generator.
//!
//! `make bindings` writes these files, and `make test` fails where they differ from `wit/`. They hold
//! the only `unsafe` code of this crate: the calls across the component's boundary.

#[rustfmt::skip]
pub mod configuration;
#[rustfmt::skip]
pub mod host;
#[rustfmt::skip]
pub mod log;
#[rustfmt::skip]
pub mod reply_body;
#[rustfmt::skip]
pub mod request_body;
#[rustfmt::skip]
pub mod request_head;
#[rustfmt::skip]
pub mod response_body;
#[rustfmt::skip]
pub mod response_head;
#[rustfmt::skip]
pub mod response_trailers;
#[rustfmt::skip]
pub mod tick;
#[rustfmt::skip]
pub mod upstream_choice;
#[rustfmt::skip]
pub mod upstream_request;
