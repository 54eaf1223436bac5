//! All that a plugin can be.

use crate::{Exchange, Interest, Phase, PhaseSet, VersionMeters};
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

    /// Call it. Returns within its deadline.
    ///
    /// # Errors
    /// It failed; the next call gets a fresh instance.
    fn call(&self, phase: Phase, exchange: &mut Box<Exchange>) -> Result<Action, Failure>;

    /// Call a plugin that [waits](Plugin::waits). Dropping the future cancels the call and leaves
    /// `exchange` whole.
    fn call_waiting<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>) -> Waiting<'a>;
}

/// A call that may wait.
pub type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Action, Failure>> + Send + 'a>>;

/// What a plugin answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on.
    Proceed,
    /// Send the reply that it left in the exchange.
    Respond,
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
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [FailureKind; 4] = [
        FailureKind::Trap,
        FailureKind::Deadline,
        FailureKind::Memory,
        FailureKind::Error,
    ];

    /// The name in configuration, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Trap => "trap",
            FailureKind::Deadline => "deadline",
            FailureKind::Memory => "memory",
            FailureKind::Error => "error",
        }
    }
}

/// What to do with a request whose plugin failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Answer 503. What authentication has to rely on.
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
}

impl Policy {
    /// The policy for `kind`.
    pub fn on(&self, kind: FailureKind) -> OnFailure {
        match kind {
            FailureKind::Trap => self.trap,
            FailureKind::Deadline => self.deadline,
            FailureKind::Memory => self.memory,
            FailureKind::Error => self.error,
        }
    }

    /// Whether a failure of any kind lets the request go on.
    pub fn any_open(&self) -> bool {
        FailureKind::ALL
            .into_iter()
            .any(|kind| self.on(kind) == OnFailure::Open)
    }
}
