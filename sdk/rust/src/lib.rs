//! Write Tidegate plugins in Rust.
//!
//! A plugin is a type that serde can read from the route's configuration, and the phases in which
//! it wants to be called:
//!
//! ```
//! use tidegate_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Hello {
//!     greeting: String,
//! }
//!
//! #[plugin]
//! impl Plugin for Hello {
//!     fn on_request(&self, request: &mut Request) -> Action {
//!         request.set_header("x-hello", &self.greeting).ok();
//!         Action::Proceed
//!     }
//! }
//! ```
//!
//! The crate is a `cdylib`, and `cargo build --release --target wasm32-unknown-unknown` makes a
//! component of it, given a few lines of `.cargo/config.toml` (see `examples/hello-plugin`). Drop
//! it into the proxy's plugin directory and name it in a route:
//!
//! ```toml
//! [[route]]
//! plugins = [{ use = "hello", config = { greeting = "hi" } }]
//! ```
//!
//! # Configuration
//!
//! The plugin above is its own configuration. One that has to prepare something first, or is only
//! interested in some requests, names its configuration's type and writes [`Plugin::configure`].
//! Mistakes carry the place where they are, which the proxy turns into line and column:
//!
//! ```
//! use tidegate_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     blocked: Vec<String>,
//! }
//!
//! struct Block {
//!     words: Vec<String>,
//! }
//!
//! #[plugin]
//! impl Plugin for Block {
//!     type Config = Settings;
//!
//!     fn configure(config: Settings, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
//!         if let Some(index) = config.blocked.iter().position(String::is_empty) {
//!             return Err(ConfigError::at(format!("blocked.{index}"), "is empty, expected a word").into());
//!         }
//!         interest.methods(["GET"])?;
//!         Ok(Block { words: config.blocked })
//!     }
//!
//!     fn on_request(&self, request: &mut Request) -> Action {
//!         let path = request.path();
//!         if self.words.iter().any(|word| path.contains(word.as_str())) {
//!             log::info!("blocked {path}");
//!             metrics::count("blocked", &[], 1).ok();
//!             return request.respond(Reply::new(403).text("not here"));
//!         }
//!         Action::Proceed
//!     }
//! }
//! ```
//!
//! # Phases
//!
//! Write the methods of [`Plugin`] that you need and leave out the others: only those are exported,
//! and the proxy does not spend time on a phase that a plugin does not have. One exchange may be
//! served by several instances, so keep what a later phase needs in [`attributes`], not in a field.
//!
//! # Tests
//!
//! Off Wasm the same code runs against a host that lives in the test, see [`testing`]:
//!
//! ```
//! # use tidegate_sdk::prelude::*;
//! # #[derive(Deserialize)]
//! # struct Hello { greeting: String }
//! # #[plugin]
//! # impl Plugin for Hello {
//! #     fn on_request(&self, request: &mut Request) -> Action {
//! #         request.set_header("x-hello", &self.greeting).ok();
//! #         Action::Proceed
//! #     }
//! # }
//! use tidegate_sdk::testing::{Exchange, Instance};
//!
//! let mut hello = Instance::<Hello>::configure(r#"{ "greeting": "hi" }"#).unwrap();
//! let mut exchange = Exchange::get("/");
//! assert_eq!(hello.on_request(&mut exchange), Action::Proceed);
//! assert_eq!(exchange.request_header("x-hello").as_deref(), Some("hi"));
//! ```
//!
//! # Permissions
//!
//! A component imports only the host functions that its code reaches, and the list of imports is
//! what an operator grants. A plugin that never calls [`limiter`] does not ask for it.

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod attributes;
pub mod clock;
pub mod limiter;
pub mod log;
pub mod metrics;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    reason = "generated"
)]
#[doc(hidden)]
pub mod bindings;
mod body;
mod config;
#[doc(hidden)]
pub mod export;
mod header;
mod host;
mod interest;
mod outcome;
mod plugin;
mod reply;
mod request;
mod response;
mod time;
mod trailers;
mod upstream;

pub use bindings::host::tidegate::plugin::interest::BodyMode;
pub use bindings::host::tidegate::plugin::types::{Action, BodyAction, ConfigError, Error};
pub use body::{RequestBody, ResponseBody};
pub use header::{Edits, HeaderValue};
pub use interest::Interest;
pub use outcome::Outcome;
pub use plugin::Plugin;
pub use reply::{Reply, ReplyHead};
pub use request::Request;
pub use response::Response;
pub use tidegate_sdk_macros::plugin;
pub use trailers::Trailers;
pub use upstream::Upstream;

/// What a plugin needs nearly always: `use tidegate_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::{Action, BodyAction, BodyMode, ConfigError, Edits, Error, HeaderValue};
    pub use crate::{Interest, Outcome, Plugin, Reply, ReplyHead, Request, RequestBody};
    pub use crate::{Response, ResponseBody, Trailers, Upstream, plugin};
    pub use crate::{attributes, clock, limiter, log, metrics};
    pub use serde::Deserialize;
}

/// dlmalloc, as in the standard library, but a version that starts in the memory that the linker
/// gave the module (`--initial-heap`) before it grows it. An instance that stays within it costs
/// the host no `memory.grow`, which is most of what a fresh instance costs.
#[cfg(all(feature = "arena", target_arch = "wasm32", target_os = "unknown"))]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
