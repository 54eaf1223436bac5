//! What wit-bindgen makes of `wit/`, checked in so that building a plugin needs no generator.
//!
//! `tests/bindings.rs` writes these files and fails where they differ from `wit/`. They hold the
//! only `unsafe` code of this crate: the calls across the component's boundary.

#[rustfmt::skip]
pub mod configuration;
#[rustfmt::skip]
pub mod host;
#[rustfmt::skip]
pub mod request_head;
#[rustfmt::skip]
pub mod response_head;
