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
//! and the proxy does not spend time on a phase that a plugin does not have.
//!
//! | Method | When |
//! |---|---|
//! | [`on_request`](Plugin::on_request) | the request's head is there |
//! | [`on_request_body`](Plugin::on_request_body) | data of its body is there |
//! | [`on_upstream_choice`](Plugin::on_upstream_choice) | an upstream is about to be chosen |
//! | [`on_upstream_request`](Plugin::on_upstream_request) | a peer is about to be asked, once for each attempt |
//! | [`on_response`](Plugin::on_response) | the response's head is there |
//! | [`on_response_body`](Plugin::on_response_body) | data of its body is there |
//! | [`on_response_trailers`](Plugin::on_response_trailers) | trailers came after it |
//! | [`on_reply_body`](Plugin::on_reply_body) | the client can take more of a streamed reply |
//! | [`on_log`](Plugin::on_log) | the exchange is over |
//! | [`on_tick`](Plugin::on_tick) | a period is over, outside of exchanges |
//!
//! One exchange may be served by several instances, so keep what a later phase needs in
//! [`attributes`], not in a field.
//!
//! # Bodies
//!
//! A plugin sees a body where it asks for it in `configure`, in one of three modes:
//!
//! - [`BodyMode::Streaming`]: each piece as it comes. The head has moved on, so that it can no longer
//!   be edited; nothing is held back, whatever the size.
//! - [`BodyMode::Buffer`]: the whole body in one call, up to a size. The head waits for it.
//! - [`BodyMode::Peek`]: the beginning in one call, up to a size. The head waits for that only.
//!
//! The answer is a [`BodyAction`]: let the data pass, replace it, append to it, drop it, or reply. What
//! a plugin keeps from piece to piece is a type of its own. It begins with its default at the start of
//! each body:
//!
//! ```
//! use tidegate_sdk::prelude::*;
//! use tidegate_sdk::testing::{BodyOutcome, Exchange, Instance};
//!
//! /// Ends each line of a body with the line's number.
//! #[derive(Deserialize)]
//! struct Number {}
//!
//! #[derive(Default)]
//! struct Lines(u32);
//!
//! #[plugin]
//! impl Plugin for Number {
//!     type ResponseBodyState = Lines;
//!
//!     fn configure(config: Self, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
//!         interest.response_body(BodyMode::Streaming)?;
//!         Ok(config)
//!     }
//!
//!     fn on_response(&self, response: &mut Response) -> Action {
//!         if response.header("content-type").is_none_or(|value| value != "text/plain") {
//!             response.skip_body().ok();
//!         }
//!         Action::Proceed
//!     }
//!
//!     fn on_response_body(&self, body: &mut ResponseBody<Lines>) -> BodyAction {
//!         let mut numbered = Vec::with_capacity(body.data.len());
//!         for &byte in &body.data {
//!             if byte == b'\n' {
//!                 body.state.0 += 1;
//!                 numbered.extend(format!(" {}", body.state.0).bytes());
//!             }
//!             numbered.push(byte);
//!         }
//!         BodyAction::replace(numbered)
//!     }
//! }
//!
//! let mut number = Instance::<Number>::configure("{}").unwrap();
//! let mut exchange = Exchange::get("/").response(200, &[("content-type", "text/plain")]);
//! number.on_response(&mut exchange);
//! let outcome = number.on_response_body(&mut exchange, ["a\nb", "\nc\n"]);
//! assert_eq!(outcome, BodyOutcome::Passed(b"a 1\nb 2\nc 3\n".to_vec()));
//! ```
//!
//! A reply may be streamed too. It begins in any phase that can reply, with the state from which
//! [`on_reply_body`](Plugin::on_reply_body) makes the pieces:
//!
//! ```
//! use tidegate_sdk::prelude::*;
//! use tidegate_sdk::testing::{Exchange, Instance};
//!
//! #[derive(Deserialize)]
//! struct Count {
//!     to: u32,
//! }
//!
//! #[plugin]
//! impl Plugin for Count {
//!     /// The next number.
//!     type ReplyState = u32;
//!
//!     fn on_request(&self, request: &mut Request) -> Action {
//!         let head = ReplyHead::new(200).header("content-type", "text/plain");
//!         request.respond_streaming::<Self>(head, 1)
//!     }
//!
//!     fn on_reply_body(&self, next: &mut u32) -> Result<Option<Vec<u8>>, CutOff> {
//!         if *next > self.to {
//!             return Ok(None);
//!         }
//!         let piece = format!("{next}\n");
//!         *next += 1;
//!         Ok(Some(piece.into_bytes()))
//!     }
//! }
//!
//! let mut count = Instance::<Count>::configure(r#"{ "to": 1 }"#).unwrap();
//! let mut exchange = Exchange::get("/");
//! assert_eq!(count.on_request(&mut exchange), Action::Respond);
//! assert_eq!(count.on_reply_body(&mut exchange), Ok(Some(b"1\n".to_vec())));
//! assert_eq!(count.on_reply_body(&mut exchange), Ok(None));
//! ```
//!
//! # The upstream
//!
//! [`on_upstream_choice`](Plugin::on_upstream_choice) may send the request to another group of
//! peers, or to one peer of it; [`on_upstream_request`](Plugin::on_upstream_request) edits what that
//! peer gets:
//!
//! ```
//! use tidegate_sdk::prelude::*;
//! use tidegate_sdk::testing::{Exchange, Host};
//!
//! #[derive(Deserialize)]
//! struct Beta {
//!     group: String,
//! }
//!
//! #[plugin]
//! impl Plugin for Beta {
//!     fn on_upstream_choice(&self, request: &mut Request, upstream: &mut Upstream) -> Action {
//!         if request.header("x-beta").is_some() {
//!             if let Err(error) = upstream.choose_group(&self.group) {
//!                 log::warn!("no beta today: {error}");
//!             }
//!         }
//!         Action::Proceed
//!     }
//!
//!     fn on_upstream_request(&self, request: &mut Request, upstream: &Upstream) -> Action {
//!         if upstream.attempt().is_ok_and(|attempt| attempt > 1) {
//!             request.set_header("x-retry", "1").ok();
//!         }
//!         Action::Proceed
//!     }
//! }
//!
//! let mut host = Host::new();
//! host.add_upstream("beta", &["192.0.2.20:80"]);
//! host.grant_upstream("beta");
//! let mut beta = host.configure::<Beta>(r#"{ "group": "beta" }"#).unwrap();
//! let mut exchange = Exchange::get("/").header("x-beta", "1");
//! beta.on_upstream_choice(&mut exchange);
//! beta.on_upstream_request(&mut exchange);
//! beta.on_upstream_request(&mut exchange);
//! assert_eq!(exchange.attempts()[0].peer(), "192.0.2.20:80");
//! assert_eq!(exchange.attempts()[1].header("x-retry").as_deref(), Some("1"));
//! ```
//!
//! # Capabilities
//!
//! A component imports only the host functions that its code reaches, and the list of imports is
//! what an operator grants in `[plugin.NAME]`. A plugin that never calls [`limiter`] does not ask for
//! it.
//!
//! ```toml
//! [plugin.hello]
//! allow = { log = true, kv = ["sessions"], http = ["https://auth.example"] }
//! ```
//!
//! | Module | Grant | |
//! |---|---|---|
//! | [`log`] | `log` | lines in the proxy's log |
//! | [`metrics`] | `metrics` | the plugin's own metrics |
//! | [`clock`] | `clock` | clocks |
//! | [`random`] | `random` | random numbers |
//! | [`attributes`] | `attributes` | typed values of the exchange |
//! | [`limiter`] | `limiter` | rates and concurrency |
//! | [`crypto`] | `crypto` | digests, codes, passwords, tokens |
//! | [`kv`] | `kv = ["NAME"]` | stores of keys and values |
//! | [`secrets`] | `secrets = ["NAME"]` | secrets that rotate |
//! | [`http`] | `http = ["ORIGIN"]` | requests to other servers |
//! | [`Upstream::choose_group`] | `upstreams = ["NAME"]` | groups other than the route's |
//!
//! The heads, bodies and trailers of the exchange, [`Upstream`] and [`Outcome`] need no grant.
//!
//! # Waiting
//!
//! Most functions of the host answer at once. [`http`], [`crypto::verify_password`],
//! [`crypto::verify_jws_url`], and [`kv`] and [`limiter`] in Redis wait: for the network or for a long
//! computation. Call them as any other function. The proxy sees from the imports that the plugin may
//! wait, calls it asynchronously, and does other work meanwhile; only the exchange that the plugin was
//! asked about waits, under the plugin's deadline.
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

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(all(feature = "arena", target_arch = "wasm32", target_os = "unknown"))]
mod allocator;
pub mod attributes;
pub mod clock;
pub mod crypto;
mod declared;
pub mod http;
pub mod kv;
pub mod limiter;
pub mod log;
pub mod metrics;
pub mod random;
pub mod secrets;
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
mod field_name;
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

pub use bindings::host::tidegate::plugin::interest::{BodyMode, Part as ValuePart};
pub use bindings::host::tidegate::plugin::types::{Action, BodyAction, ConfigError, Error};
pub use body::{RequestBody, ResponseBody};
pub use declared::DeclaredEdits;
pub use field_name::FieldName;
pub use header::{Edits, HeaderValue};
pub use interest::Interest;
pub use outcome::Outcome;
pub use plugin::Plugin;
pub use reply::{CutOff, Reply, ReplyHead};
pub use request::Request;
pub use response::Response;
pub use secrets::Secret;
pub use tidegate_sdk_macros::plugin;
pub use trailers::Trailers;
pub use upstream::Upstream;

/// What a plugin needs nearly always: `use tidegate_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::kv::Store;
    pub use crate::{Action, BodyAction, BodyMode, ConfigError, CutOff, DeclaredEdits, Edits};
    pub use crate::{Error, HeaderValue, Interest, Outcome, Plugin, Reply, ReplyHead};
    pub use crate::{Request, RequestBody, ValuePart};
    pub use crate::{Response, ResponseBody, Secret, Trailers, Upstream, plugin};
    pub use crate::{attributes, clock, crypto, http, kv, limiter, log, metrics, random, secrets};
    pub use serde::Deserialize;
}
