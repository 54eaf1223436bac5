//! An ordered list of plugins, and how it runs: forward on the way in, in reverse on the way out.

use crate::{
    Action, BodyMode, Call, Exchange, Failure, FailureKind, Note, OnFailure, Phase, Plugin,
    Progress, Reply, RequestHead,
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use std::sync::Arc;
use std::time::Instant;

/// The most plugins of one route: one bit each in [`Progress`].
pub const PLUGINS_MAX: usize = 64;

/// The plugins of a route, in order.
#[derive(Default)]
pub struct Chain {
    plugins: Box<[Arc<dyn Plugin>]>,
    /// Those that export a phase, by phase; one bit each. Of a body's, those that asked to see it; of a head's, not
    /// those that declared what they do.
    exporting: [u64; Phase::ALL.len()],
    /// Those whose edits of a phase are made in place of a call.
    editing: [u64; Phase::ALL.len()],
    /// Those that can wait.
    waiting: u64,
    /// Those of whose failures some are no end of the exchange: what they did is undone.
    undone: u64,
}

/// A chain that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// More than [`PLUGINS_MAX`].
    #[error("a route can have {PLUGINS_MAX} plugins, this one has {0}")]
    TooLong(usize),
}

/// What the chain decided.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Go on.
    Proceed,
    /// Send this reply instead.
    Respond(Reply),
    /// A plugin failed and its policy is `closed`.
    Refuse {
        /// What to answer: 503; 413 or 502 for a body over its limit.
        status: StatusCode,
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
            Verdict::Refuse { status, .. } => {
                let reason = status.canonical_reason().unwrap_or_default();
                let text = format!("{} {}\n", status.as_u16(), reason.to_ascii_lowercase());
                Some(Reply::text(status, text))
            }
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
        let those = |is: &dyn Fn(&Arc<dyn Plugin>) -> bool| {
            let bits = plugins.iter().enumerate();
            bits.fold(0, |all, (place, p)| all | u64::from(is(p)) << place)
        };
        Ok(Chain {
            exporting: Phase::ALL.map(|phase| those(&|plugin| is_called(&**plugin, phase))),
            editing: Phase::ALL.map(|phase| those(&|plugin| has_edits(&**plugin, phase))),
            waiting: those(&|plugin| plugin.waits()),
            undone: those(&|plugin| plugin.policy().any_open()),
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

    /// Whether any plugin can wait while it is called.
    pub fn waits(&self) -> bool {
        self.waiting != 0
    }

    /// Whether any plugin exports this phase.
    pub fn exports(&self, phase: Phase) -> bool {
        self.exporting(phase) != 0
    }

    /// The plugins that export a phase; of a body's, those that asked to see it.
    fn exporting(&self, phase: Phase) -> u64 {
        self.exporting.get(phase as usize).copied().unwrap_or(0)
    }

    /// The plugins whose edits of a phase are made in place of a call.
    fn editing(&self, phase: Phase) -> u64 {
        self.editing.get(phase as usize).copied().unwrap_or(0)
    }

    /// The beginning of an exchange's way; `None` where no plugin is interested in the request.
    ///
    /// A plugin is asked at its turn, for those before it may have edited the head. But where nobody is interested
    /// in what came nobody edits it, and there is no exchange to be made.
    pub fn begin(&self, method: &Method, uri: &Uri, fields: &HeaderMap) -> Option<Progress> {
        for (first, plugin) in self.plugins.iter().enumerate() {
            if plugin.interest().matches(method, uri, fields) {
                return Some(Progress {
                    first: Some(first),
                    ..Progress::default()
                });
            }
            plugin.meters().skipped();
        }
        None
    }

    /// Run [`Phase::RequestHead`], with the `progress` of [`Chain::begin`].
    ///
    /// `progress` then holds the plugins whose turn came and that let the request pass; on a verdict
    /// other than [`Verdict::Proceed`] these see the reply in [`Chain::response`].
    pub async fn request(&self, progress: &mut Progress, exchange: &mut Box<Exchange>) -> Verdict {
        let phase = Phase::RequestHead;
        let first = progress.first;
        for (place, plugin) in self.plugins.iter().enumerate().skip(first.unwrap_or(0)) {
            if first != Some(place) && !is_interested(&**plugin, &*exchange.request) {
                plugin.meters().skipped();
                continue;
            }
            let bit = 1 << place;
            progress.seen |= bit;
            let decision = if self.exporting(phase) & bit != 0 {
                self.decide(place, phase, progress, exchange).await
            } else if self.editing(phase) & bit != 0 {
                self.edit(place, phase, progress, exchange)
            } else {
                Decision::Pass
            };
            match decision {
                Decision::Pass => progress.pass(place),
                Decision::Leave => {}
                Decision::Verdict(verdict) => return verdict,
            }
        }
        Verdict::Proceed
    }

    /// Run [`Phase::UpstreamChoice`] or [`Phase::UpstreamRequest`].
    pub async fn upstream(
        &self,
        phase: Phase,
        progress: &mut Progress,
        exchange: &mut Box<Exchange>,
    ) -> Verdict {
        for place in places(progress.passed & self.exporting(phase)) {
            if let Decision::Verdict(verdict) = self.decide(place, phase, progress, exchange).await
            {
                return verdict;
            }
        }
        Verdict::Proceed
    }

    /// Run [`Phase::ResponseHead`] for the plugins in `progress`, last first, each at most once.
    ///
    /// On a verdict other than [`Verdict::Proceed`] the caller makes the reply the response of the
    /// exchange and calls again: the plugins that have not had their turn see the reply.
    pub async fn response(&self, progress: &mut Progress, exchange: &mut Box<Exchange>) -> Verdict {
        let phase = Phase::ResponseHead;
        while let Some(place) = progress.left.checked_ilog2() {
            let (bit, place) = (1 << place, place as usize);
            progress.left &= !bit;
            if let Some(edits) = exchange.take_prepared(place) {
                self.edit_as_prepared(place, &edits, exchange);
                continue;
            }
            let decision = if self.exporting(phase) & bit != 0 {
                self.decide(place, phase, progress, exchange).await
            } else if self.editing(phase) & bit != 0 {
                self.edit(place, phase, progress, exchange)
            } else {
                continue;
            };
            if let Decision::Verdict(verdict) = decision {
                return verdict;
            }
        }
        // Of plugins that left.
        exchange.prepared.clear();
        Verdict::Proceed
    }

    /// Run [`Phase::ResponseTrailers`] for the plugins that the response passes, last first.
    pub async fn trailers(&self, progress: &mut Progress, exchange: &mut Box<Exchange>) -> Verdict {
        let phase = Phase::ResponseTrailers;
        for place in places_from_last(progress.response & self.exporting(phase)) {
            if let Decision::Verdict(verdict) = self.decide(place, phase, progress, exchange).await
            {
                return verdict;
            }
        }
        Verdict::Proceed
    }

    /// The next piece of the body of a reply that the plugin at `place` began; `None` at its end.
    ///
    /// # Errors
    /// The plugin failed: the response is cut off, whatever the policy, since a part of it was sent.
    pub async fn piece(
        &self,
        place: usize,
        progress: &mut Progress,
        exchange: &mut Box<Exchange>,
    ) -> Result<Option<Bytes>, Failure> {
        let call = Call {
            phase: Phase::ReplyBody,
            place,
            data: &[],
            end: false,
            keep: true,
        };
        match self.run(call, progress, exchange).await {
            Ok(Action::Piece(piece)) => Ok(piece),
            Ok(_) => Ok(None),
            Err(failure) => {
                self.count(place, Phase::ReplyBody, &failure, exchange);
                Err(failure)
            }
        }
    }

    /// Run [`Phase::Log`] for every plugin that was interested in the request.
    pub async fn log(&self, progress: &mut Progress, exchange: &mut Box<Exchange>) {
        for place in places(progress.seen & self.exporting(Phase::Log)) {
            let call = Call {
                phase: Phase::Log,
                place,
                data: &[],
                end: false,
                keep: false,
            };
            if let Err(failure) = self.run(call, progress, exchange).await {
                self.count(place, Phase::Log, &failure, exchange);
            }
        }
    }

    /// Whether anybody is to be called in [`Phase::Log`], and whether that can wait.
    pub fn logs(&self, progress: &Progress) -> Option<bool> {
        let those = progress.seen & self.exporting(Phase::Log);
        (those != 0).then_some(those & self.waiting != 0)
    }

    /// The plugins that see the request's body.
    pub(crate) fn request_body_plugins(&self, progress: &Progress) -> u64 {
        progress.passed & !progress.skip_request & self.exporting(Phase::RequestBody)
    }

    /// The plugins that see the body of a response that begins now: not those in the middle of another one, which
    /// they would take this one for the rest of.
    pub(crate) fn response_body_plugins(&self, progress: &Progress) -> u64 {
        let wants = progress.response & !progress.skip_response & !progress.amid;
        wants & self.exporting(Phase::ResponseBody)
    }

    /// Whether a plugin that the request passed wants to see more than heads: a body, or trailers.
    pub fn wants_more(&self, progress: &Progress) -> bool {
        self.request_body_plugins(progress) | self.response_body_plugins(progress) != 0
            || self.wants_trailers(progress)
    }

    /// Whether a plugin that the response passes wants its trailers.
    pub fn wants_trailers(&self, progress: &Progress) -> bool {
        progress.response & self.exporting(Phase::ResponseTrailers) != 0
    }

    /// Call one plugin in a phase that decides about the exchange.
    async fn decide(
        &self,
        place: usize,
        phase: Phase,
        progress: &mut Progress,
        exchange: &mut Box<Exchange>,
    ) -> Decision {
        let call = Call {
            phase,
            place,
            data: &[],
            end: false,
            keep: false,
        };
        match self.run(call, progress, exchange).await {
            Ok(Action::Respond) => match exchange.reply.take() {
                Some(reply) => {
                    progress.replied(place);
                    Decision::Verdict(Verdict::Respond(reply))
                }
                None => Decision::Leave,
            },
            Ok(_) => Decision::Pass,
            Err(failure) => self.settled(place, phase, failure, progress, exchange),
        }
    }

    /// What a failure comes to, by the plugin's policy.
    pub(crate) fn settled(
        &self,
        place: usize,
        phase: Phase,
        failure: Failure,
        progress: &mut Progress,
        exchange: &mut Exchange,
    ) -> Decision {
        match self.settle(place, phase, failure, progress, exchange) {
            Some(verdict) => Decision::Verdict(verdict),
            None => Decision::Leave,
        }
    }

    /// Call one plugin with data of a body. Nothing, where it failed and the body goes on without it.
    #[expect(clippy::too_many_arguments, reason = "the call, spelt out")]
    pub(crate) async fn run_body(
        &self,
        place: usize,
        phase: Phase,
        data: &[u8],
        end: bool,
        keep: bool,
        progress: &mut Progress,
        exchange: &mut Box<Exchange>,
    ) -> Result<Option<Action>, Verdict> {
        let call = Call {
            phase,
            place,
            data,
            end,
            keep,
        };
        if phase == Phase::ResponseBody && keep {
            let bit = 1 << place;
            progress.amid = if end {
                progress.amid & !bit
            } else {
                progress.amid | bit
            };
        }
        match self.run(call, progress, exchange).await {
            Ok(Action::Respond) => match exchange.reply.take() {
                Some(reply) => {
                    progress.replied(place);
                    Err(Verdict::Respond(reply))
                }
                None => Ok(None),
            },
            Ok(action) => Ok(Some(action)),
            Err(failure) => match self.settle(place, phase, failure, progress, exchange) {
                Some(verdict) => Err(verdict),
                None => Ok(None),
            },
        }
    }

    /// Call one plugin, measured.
    async fn run(
        &self,
        call: Call<'_>,
        progress: &mut Progress,
        exchange: &mut Box<Exchange>,
    ) -> Result<Action, Failure> {
        let Call { phase, place, .. } = call;
        let Some(plugin) = self.plugins.get(place) else {
            return Ok(Action::Proceed);
        };
        if !exchange.stage.permits(phase) {
            return Err(Failure {
                kind: FailureKind::Error,
                message: format!("{} cannot be now: {:?}", phase.name(), exchange.stage),
            });
        }
        exchange.phase = Some(phase);
        exchange.reply = None;
        exchange.preparing = None;
        exchange.begin_edits(self.undone & 1 << place != 0);
        let start = Instant::now();
        let answer = if self.waiting & 1 << place != 0 {
            plugin.call_waiting(call, exchange).await
        } else {
            plugin.call(call, exchange)
        };
        plugin.meters().called(phase, start.elapsed());
        exchange.phase = None;
        progress.skip(place, std::mem::take(&mut exchange.skips));
        exchange.settle_prepared(place);
        if answer != Ok(Action::Respond) {
            return answer;
        }
        match &mut exchange.reply {
            None => Err(Failure {
                kind: FailureKind::Error,
                message: "it answered `respond` without a reply".to_owned(),
            }),
            Some(reply) => {
                if reply.pieces.is_some() {
                    reply.pieces = Some(place);
                }
                note(&**plugin, phase, "respond", None, exchange);
                answer
            }
        }
    }

    /// Count a failure and apply the policy: a verdict, or nothing where the exchange goes on as if the
    /// plugin were not there.
    pub(crate) fn settle(
        &self,
        place: usize,
        phase: Phase,
        failure: Failure,
        progress: &mut Progress,
        exchange: &mut Exchange,
    ) -> Option<Verdict> {
        let plugin = self.plugins.get(place)?;
        self.count(place, phase, &failure, exchange);
        match plugin.policy().on(failure.kind) {
            OnFailure::Open => {
                // One that could not have the whole body was not called: it has had its turn with the head.
                if failure.kind != FailureKind::OverLimit {
                    exchange.undo_edits();
                    progress.leave(place);
                }
                None
            }
            OnFailure::Closed => {
                progress.replied(place);
                Some(Verdict::Refuse {
                    status: status(phase, failure.kind),
                    plugin: plugin.name().clone(),
                    failure,
                })
            }
        }
    }

    fn count(&self, place: usize, phase: Phase, failure: &Failure, exchange: &mut Exchange) {
        if let Some(plugin) = self.plugins.get(place) {
            plugin.meters().failed(phase, failure.kind);
            let message = Some(failure.message.clone());
            note(&**plugin, phase, failure.kind.name(), message, exchange);
        }
    }
}

/// Whether the plugin is ever called in the phase.
fn is_called(plugin: &dyn Plugin, phase: Phase) -> bool {
    let interest = plugin.interest();
    let asked = match phase {
        Phase::RequestBody => interest.request_body != BodyMode::None,
        Phase::ResponseBody => interest.response_body != BodyMode::None,
        _ => interest.fixed_edits(phase).is_none(),
    };
    asked && plugin.phases().contains(phase)
}

/// Whether there is something to edit in place of calling the plugin, for every head.
fn has_edits(plugin: &dyn Plugin, phase: Phase) -> bool {
    let edits = plugin.interest().fixed_edits(phase);
    edits.is_some_and(|(_, edits)| !edits.is_empty())
}

fn is_interested(plugin: &dyn Plugin, request: &dyn RequestHead) -> bool {
    let interest = plugin.interest();
    interest.matches(request.method(), request.uri(), request.fields())
}

/// The places of the bits that are set, in order.
pub(crate) fn places(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = bits.trailing_zeros();
        bits &= bits.checked_sub(1)?;
        Some(place as usize)
    })
}

/// The places of the bits that are set, last first.
pub(crate) fn places_from_last(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = bits.checked_ilog2()?;
        bits &= !(1 << place);
        Some(place as usize)
    })
}

/// What came of a plugin's turn.
pub(crate) enum Decision {
    /// Go on.
    Pass,
    /// Go on, as if the plugin were not there.
    Leave,
    /// Do this instead.
    Verdict(Verdict),
}

/// What a client gets for a failure.
fn status(phase: Phase, kind: FailureKind) -> StatusCode {
    match (kind, phase) {
        (FailureKind::OverLimit, Phase::RequestBody) => StatusCode::PAYLOAD_TOO_LARGE,
        (FailureKind::OverLimit, _) => StatusCode::BAD_GATEWAY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
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
