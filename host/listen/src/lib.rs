//! The edge of the process: sockets to listen on, and the connections that come in.
//!
//! [`bind`] makes a [`Listener`] (errors are reported there and then, nothing is retried behind the
//! operator's back), [`Inherited`] is one that a service manager made; [`accept`] runs it until it is told to
//! stop and hands each [`Connection`] that has a place under the [`Caps`] to whoever speaks the protocol; [`proxy_protocol`] finds
//! out whose it is where a load balancer passes it on; [`tls`] is for those that begin with a handshake. No HTTP
//! and no proxy engine in here.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accept;
mod bind;
mod cap;
mod connection;
mod inherited;
mod open_files;
mod options;
pub mod proxy_protocol;
pub mod tls;

pub use accept::{ConnectionHandler, accept};
pub use bind::{Address, BindError, Listener, bind};
pub use cap::{Caps, Refused, Slot};
pub use connection::{Connection, Plain, Stream};
pub use inherited::{InheritError, Inherited};
pub use open_files::{open_files_max, raise_open_files_max};
pub use options::SocketOptions;
