//! Edits that a plugin declared for every head, or prepared for this response: made in place of a call.

use crate::chain::Decision;
use crate::{
    Chain, CheckedEdit, Exchange, Failure, FailureKind, Note, OnFailure, Phase, Progress, Target,
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

    /// Make the edits that the plugin at `place` prepared for this response. It did not know the response then, and is
    /// not asked now: an edit that is refused is left out, whatever the policy.
    pub(crate) fn edit_as_prepared(
        &self,
        place: usize,
        edits: &[CheckedEdit],
        exchange: &mut Exchange,
    ) {
        let phase = Phase::ResponseHead;
        let Some(plugin) = self.plugins().get(place) else {
            return;
        };
        exchange.phase = Some(phase);
        exchange.begin_edits(false);
        let mut left_out = None;
        for edit in edits {
            if let Err(refusal) = exchange.edit(Target::Response, edit.clone()) {
                left_out.get_or_insert((edit.name(), refusal));
            }
        }
        exchange.phase = None;
        plugin.meters().edited(phase);
        if let Some((name, refusal)) = left_out {
            plugin.meters().left_out();
            exchange.notes.push(Note {
                plugin: plugin.name().clone(),
                phase,
                what: Note::LEFT_OUT,
                message: Some(format!("its edit of `{name}`: {refusal}")),
            });
        }
    }
}
