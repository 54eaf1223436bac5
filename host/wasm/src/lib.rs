//! The plugin runtime: WebAssembly components behind the chain's [`Plugin`](tidegate_chain::Plugin).
//!
//! - [`Runtime`] is made once per process: the engine, its epoch ticker, the linked host interfaces,
//!   the compiled-code cache, and what belongs to a plugin's name and outlives its versions.
//! - [`Runtime::load`] turns bytes into a [`PluginVersion`]: compiled, its imports and exports checked.
//! - [`Runtime::bind`] gives a version one configuration: a [`Binding`], which the chain calls. It
//!   keeps a pool of instances, each in a store of its own, since a trap poisons a whole store.
//! - `host/` has one file per interface that plugins import.
//!
//! Nothing here knows of sockets, files of plugins, or the proxy engine.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod binding;
mod cache;
mod capabilities;
mod compiler;
mod engine;
mod host;
mod imports;
mod instance;
mod kept;
mod namespace;
mod overtime;
mod pool;
mod runtime;
mod ticker;
mod trap;
mod version;
mod wit;

pub use binding::{BindError, Binding, ConfigError, Settings};
pub use cache::CacheError;
pub use capabilities::{Capabilities, Folder};
pub use compiler::{Compiler, compile_stdin};
pub use host::CONTRACT;
pub use imports::Imports;
pub use runtime::{Options, Runtime, RuntimeError};
pub use version::{LoadError, PluginVersion, digest};
