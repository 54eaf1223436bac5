//! Edits that a plugin declared in place of calls: what is the same for every head needs no guest.

use crate::chain::Decision;
use crate::{Chain, Exchange, Failure, FailureKind, OnFailure, Phase, Progress};

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
            let refusal = exchange.edit(target, edit.clone()).err()?;
            Some((edit.name(), refusal))
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
}
