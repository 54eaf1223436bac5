//! Edits that a plugin declared for every head, or prepared for this response: made in place of a call.

use crate::chain::Decision;
use crate::{
    Chain, CheckedEdit, Exchange, Failure, FailureKind, OnFailure, Phase, Progress, Target,
};

impl Chain {
    /// Make the edits that the plugin at `place` declared for a phase: as if it had been called, had made them
    /// and had gone on, or had failed where one of them is refused.
    pub(crate) fn edit(
        &self,
        place: usize,
        phase: Phase,
        progress: &mut Progress,
        exchange: &mut Exchange,
    ) -> Decision {
        let Some(plugin) = self.plugins().get(place) else {
            return Decision::Pass;
        };
        let Some((target, edits)) = plugin.interest().fixed_edits(phase) else {
            return Decision::Pass;
        };
        exchange.phase = Some(phase);
        exchange.begin_edits(plugin.policy().on(FailureKind::Error) == OnFailure::Open);
        let refused = edits.iter().find_map(|edit| {
            let made = edit.of(exchange);
            let made = made.and_then(|edit| exchange.edit(target, edit));
            Some((edit.name(), made.err()?))
        });
        exchange.phase = None;
        plugin.meters().edited(phase);
        let Some((name, refusal)) = refused else {
            return Decision::Pass;
        };
        let failure = Failure {
            kind: FailureKind::Error,
            message: format!("its edit of `{name}`, which it declared, was refused: {refusal}"),
        };
        self.settled(place, phase, failure, progress, exchange)
    }

    /// Make the edits that the plugin at `place` prepared for this response. It meant well for a response that it did
    /// not know: what is refused is left out.
    pub(crate) fn edit_as_prepared(
        &self,
        place: usize,
        edits: &[CheckedEdit],
        exchange: &mut Exchange,
    ) {
        let phase = Phase::ResponseHead;
        exchange.phase = Some(phase);
        exchange.begin_edits(false);
        let refused = edits.iter().find_map(|edit| {
            let refusal = exchange.edit(Target::Response, edit.clone()).err()?;
            Some((edit.name(), refusal))
        });
        exchange.phase = None;
        if let Some(plugin) = self.plugins().get(place) {
            plugin.meters().edited(phase);
        }
        if let Some((name, refusal)) = refused {
            let failure = Failure {
                kind: FailureKind::Error,
                message: format!("its edit of `{name}`, which it prepared, was refused: {refusal}"),
            };
            self.count(place, phase, &failure, exchange);
        }
    }
}
