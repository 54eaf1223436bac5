//! What a plugin is and in which order plugins run, without saying how they are made.
//!
//! A route owns a [`Chain`]: an ordered list of [`Plugin`]s. The data path gives it an [`Exchange`]
//! (one request and its response) in each [`Phase`], and gets a [`Verdict`]. The chain checks each
//! plugin's [`Interest`], applies its failure [`Policy`], measures it ([`Meters`]), and undoes what a
//! failed plugin did where the policy says that the request goes on without it.
//!
//! No sockets, no WebAssembly, no proxy engine: `tidegate-wasm` implements [`Plugin`], `tidegate-http`
//! calls [`Chain`], they meet in the binary. Read [`chain`](Chain) first, then `plugin.rs`.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod attributes;
mod body;
mod chain;
mod edit;
mod exchange;
mod fixed;
mod head;
mod interest;
mod meter;
mod outcome;
mod phase;
mod plugin;
mod progress;
mod stage;
mod upstream;

pub use attributes::{Attributes, Value};
pub use body::{Body, Budget};
pub use chain::{Chain, ChainError, PLUGINS_MAX, Verdict};
pub use edit::{CheckedEdit, DeclaredEdit, Edit, EditNames, Part, Refusal};
pub use exchange::{Exchange, Facts, HeadLimits, Note, Reply, Skips, Target};
pub use head::{Fields, RequestHead, ResponseHead, joined};
pub use interest::{BodyMode, Interest, PathInterest};
pub use meter::{Meters, VersionMeters};
pub use outcome::Outcome;
pub use phase::{Phase, PhaseSet};
pub use plugin::{Action, Call, Failure, FailureKind, Kept, OnFailure, Plugin, Policy, Waiting};
pub use progress::Progress;
pub use stage::{Event, OutOfOrder, RequestStage, ResponseStage, Stage};
pub use upstream::{Groups, Upstreams};
