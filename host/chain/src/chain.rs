//! An ordered list of plugins, and how it runs: forward on the way in, in reverse on the way out.

use crate::{Action, Exchange, Failure, FailureKind, Note, OnFailure, Phase, Plugin, Reply};
use http::StatusCode;
use std::sync::Arc;
use std::time::Instant;

/// The most plugins of one route: one bit each in [`Progress`].
pub const PLUGINS_MAX: usize = 64;

/// The plugins of a route, in order.
#[derive(Default)]
pub struct Chain {
    plugins: Box<[Arc<dyn Plugin>]>,
}

/// A chain that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// More than [`PLUGINS_MAX`].
    #[error("a route can have {PLUGINS_MAX} plugins, this one has {0}")]
    TooLong(usize),
}

/// Which plugins an exchange has passed on its way in, and so meets again on its way out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress(u64);

/// What the chain decided.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Go on.
    Proceed,
    /// Send this reply instead.
    Respond(Reply),
    /// A plugin failed and its policy is `closed`: answer 503.
    Refuse {
        /// The plugin that failed.
        plugin: Arc<str>,
        /// How.
        failure: Failure,
    },
}

impl Verdict {
    /// What to send instead of what was to come, if anything.
    pub fn reply(self) -> Option<Reply> {
        match self {
            Verdict::Proceed => None,
            Verdict::Respond(reply) => Some(reply),
            // Which plugin failed, and how, is for the operator's log, not for the client.
            Verdict::Refuse { .. } => Some(Reply::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "503 service unavailable\n",
            )),
        }
    }
}

impl Chain {
    /// A chain of these plugins, in this order.
    ///
    /// # Errors
    /// More than [`PLUGINS_MAX`] plugins.
    pub fn new(plugins: Vec<Arc<dyn Plugin>>) -> Result<Chain, ChainError> {
        if plugins.len() > PLUGINS_MAX {
            return Err(ChainError::TooLong(plugins.len()));
        }
        Ok(Chain {
            plugins: plugins.into(),
        })
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.plugins.is_empty()
    }

    /// The plugins, in order.
    pub fn plugins(&self) -> &[Arc<dyn Plugin>] {
        &self.plugins
    }

    /// Run [`Phase::RequestHead`].
    ///
    /// `progress` then holds the plugins whose turn came and that let the request pass; on a verdict
    /// other than [`Verdict::Proceed`] these see the reply in [`Chain::response`].
    pub async fn request(&self, progress: &mut Progress, exchange: &mut Box<Exchange>) -> Verdict {
        for (index, plugin) in self.plugins.iter().enumerate() {
            if !plugin.interest().matches(&*exchange.request) {
                plugin.meters().skipped();
                continue;
            }
            if plugin.phases().contains(Phase::RequestHead) {
                match run(&**plugin, Phase::RequestHead, exchange).await {
                    Ok(Action::Proceed) => {}
                    Ok(Action::Respond) => match exchange.reply.take() {
                        Some(reply) => return Verdict::Respond(reply),
                        None => continue,
                    },
                    Err(failure) => {
                        match settle(&**plugin, Phase::RequestHead, failure, exchange) {
                            Some(verdict) => return verdict,
                            None => continue,
                        }
                    }
                }
            }
            progress.0 |= 1 << index;
        }
        Verdict::Proceed
    }

    /// Run [`Phase::ResponseHead`] for the plugins in `progress`, last first, each at most once.
    ///
    /// On a verdict other than [`Verdict::Proceed`] the caller makes the reply the response of the
    /// exchange and calls again: the plugins that have not had their turn see the reply.
    pub async fn response(&self, progress: &mut Progress, exchange: &mut Box<Exchange>) -> Verdict {
        while let Some(index) = progress.0.checked_ilog2() {
            progress.0 &= !(1 << index);
            let Some(plugin) = self.plugins.get(index as usize) else {
                continue;
            };
            if !plugin.phases().contains(Phase::ResponseHead) {
                continue;
            }
            match run(&**plugin, Phase::ResponseHead, exchange).await {
                Ok(Action::Proceed) => {}
                Ok(Action::Respond) => {
                    if let Some(reply) = exchange.reply.take() {
                        return Verdict::Respond(reply);
                    }
                }
                Err(failure) => {
                    if let Some(verdict) = settle(&**plugin, Phase::ResponseHead, failure, exchange)
                    {
                        return verdict;
                    }
                }
            }
        }
        Verdict::Proceed
    }
}

/// Call one plugin in one phase, measured.
async fn run(
    plugin: &dyn Plugin,
    phase: Phase,
    exchange: &mut Box<Exchange>,
) -> Result<Action, Failure> {
    exchange.phase = Some(phase);
    exchange.reply = None;
    exchange.begin_edits(plugin.policy().any_open());
    let start = Instant::now();
    let answer = if plugin.waits() {
        plugin.call_waiting(phase, exchange).await
    } else {
        plugin.call(phase, exchange)
    };
    plugin.meters().called(phase, start.elapsed());
    exchange.phase = None;
    match answer {
        Ok(Action::Respond) if exchange.reply.is_none() => Err(Failure {
            kind: FailureKind::Error,
            message: "it answered `respond` without a reply".to_owned(),
        }),
        Ok(Action::Respond) => {
            note(plugin, phase, "respond", None, exchange);
            Ok(Action::Respond)
        }
        other => other,
    }
}

/// Count a failure and apply the policy: a verdict, or nothing where the request goes on.
fn settle(
    plugin: &dyn Plugin,
    phase: Phase,
    failure: Failure,
    exchange: &mut Exchange,
) -> Option<Verdict> {
    plugin.meters().failed(phase, failure.kind);
    let message = Some(failure.message.clone());
    note(plugin, phase, failure.kind.name(), message, exchange);
    match plugin.policy().on(failure.kind) {
        OnFailure::Open => {
            exchange.undo_edits();
            None
        }
        OnFailure::Closed => Some(Verdict::Refuse {
            plugin: plugin.name().clone(),
            failure,
        }),
    }
}

fn note(
    plugin: &dyn Plugin,
    phase: Phase,
    what: &'static str,
    message: Option<String>,
    exchange: &mut Exchange,
) {
    exchange.notes.push(Note {
        plugin: plugin.name().clone(),
        phase,
        what,
        message,
    });
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.plugins.iter().map(|plugin| plugin.name());
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
