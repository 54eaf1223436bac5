//! HTTP calls of plugins, to the origins that each was granted and to no other.
//!
//! A [`Transport`] holds the connections of the process; a [`Client`] is what one plugin has of it: its
//! [`Grant`]s and a bound on its calls. A [`Call`] streams both bodies, [`Client::send`] does a whole call.
//!
//! What keeps a plugin from reaching what it should not (server-side request forgery):
//! - A URL is parsed once, here, and its origin has to be granted.
//! - Names are resolved here. One address that is not public forbids the name, unless the grant says
//!   `private`; the connection goes to an address that was checked, so that a second answer of the name
//!   server cannot change it.
//! - Connections are shared only between grants of the same trust: private or not, and by which
//!   certificates.
//! - Redirects are returned, not followed. Environment variables that name proxies are not read.
//! - `host` and the fields that frame a message follow from the rest and cannot be set.

mod address;
mod call;
mod client;
mod connect;
mod failure;
mod grant;
mod request;
mod stream;
mod transport;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use call::Call;
pub use client::{Client, Response, ResponseHead, Timeouts};
pub use failure::Failure;
pub(crate) use grant::Trust;
pub use grant::{Grant, GrantError};
pub use request::RequestHead;
pub use transport::{Settings, Transport};
