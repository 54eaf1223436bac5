//! All that a plugin can be.

use crate::{Exchange, Interest, Phase, PhaseSet, VersionMeters};
use bytes::Bytes;
use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A plugin with its configuration, ready to be called from any worker.
///
/// A plugin that never waits is called with [`Plugin::call`]; one that can wait is called with
/// [`Plugin::call_waiting`]. Which one it is follows from what it imports.
pub trait Plugin: Send + Sync {
    /// The name in the configuration.
    fn name(&self) -> &Arc<str>;
    /// The phases that it exports.
    fn phases(&self) -> PhaseSet;
    /// The requests that it wants to see.
    fn interest(&self) -> &Interest;
    /// What happens when it fails.
    fn policy(&self) -> &Policy;
    /// Where its calls are counted.
    fn meters(&self) -> &Arc<VersionMeters>;
    /// Whether it can wait.
    fn waits(&self) -> bool;

    /// It is part of the running state from now on. May be said several times.
    fn start(self: Arc<Self>) {}

    /// Call it. Returns within its deadline.
    ///
    /// # Errors
    /// It failed; the next call gets a fresh instance.
    fn call(&self, call: Call<'_>, exchange: &mut Box<Exchange>) -> Result<Action, Failure>;

    /// Call a plugin that [waits](Plugin::waits). Dropping the future cancels the call and leaves
    /// `exchange` whole.
    fn call_waiting<'a>(&'a self, call: Call<'a>, exchange: &'a mut Box<Exchange>) -> Waiting<'a>;
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The phase.
    pub phase: Phase,
    /// The place in the chain at which the plugin is called: what it keeps in an exchange, it keeps by
    /// this.
    pub place: usize,
    /// Data of a body.
    pub data: &'a [u8],
    /// Whether `data` is the last.
    pub end: bool,
    /// Whether the exchange keeps the instance after this call.
    pub keep: bool,
}

/// An instance that an exchange keeps; what it is, is the plugin's business.
pub type Kept = Box<dyn Any + Send + Sync>;

/// A call that may wait.
pub type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Action, Failure>> + Send + 'a>>;

/// What a plugin answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on; of a body, with the data as it is.
    Proceed,
    /// Send the reply that it left in the exchange.
    Respond,
    /// Go on with this data instead.
    Replace(Bytes),
    /// Go on with the data and then this.
    Append(Bytes),
    /// The next piece of a reply's body; `None` at its end.
    Piece(Option<Bytes>),
}

/// A call that did not give an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", kind.name())]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What happened, for the log.
    pub message: String,
}

/// The kinds of failure; each has its own policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The guest trapped: a panic, a bad memory access, a stack overflow.
    Trap,
    /// The call took longer than its deadline.
    Deadline,
    /// The guest wanted more memory than it may have.
    Memory,
    /// The guest said that it could not decide, or no instance could be had.
    Error,
    /// A body was longer than the plugin can have it.
    OverLimit,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [FailureKind; 5] = [
        FailureKind::Trap,
        FailureKind::Deadline,
        FailureKind::Memory,
        FailureKind::Error,
        FailureKind::OverLimit,
    ];

    /// The name in configuration, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Trap => "trap",
            FailureKind::Deadline => "deadline",
            FailureKind::Memory => "memory",
            FailureKind::Error => "error",
            FailureKind::OverLimit => "over_limit",
        }
    }
}

/// What to do with a request whose plugin failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Answer 503 (413 or 502 for a body over its limit). What authentication has to rely on.
    #[default]
    Closed,
    /// Go on as if the plugin were not there: its edits are undone.
    Open,
}

/// What to do for each kind of failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// For [`FailureKind::Trap`].
    pub trap: OnFailure,
    /// For [`FailureKind::Deadline`].
    pub deadline: OnFailure,
    /// For [`FailureKind::Memory`].
    pub memory: OnFailure,
    /// For [`FailureKind::Error`].
    pub error: OnFailure,
    /// For [`FailureKind::OverLimit`].
    pub over_limit: OnFailure,
}

impl Policy {
    /// The policy for `kind`.
    pub fn on(&self, kind: FailureKind) -> OnFailure {
        match kind {
            FailureKind::Trap => self.trap,
            FailureKind::Deadline => self.deadline,
            FailureKind::Memory => self.memory,
            FailureKind::Error => self.error,
            FailureKind::OverLimit => self.over_limit,
        }
    }

    /// Whether a failure of any kind lets the request go on.
    pub fn any_open(&self) -> bool {
        FailureKind::ALL
            .into_iter()
            .any(|kind| self.on(kind) == OnFailure::Open)
    }
}
