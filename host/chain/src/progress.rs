//! How an exchange comes through a chain.

use crate::Skips;

/// How an exchange came through the chain, one bit for each plugin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// The first that is interested in the request as it came, once [`Chain::begin`] has asked: those before it are
    /// counted.
    pub(crate) first: Option<usize>,
    /// Interested in the request: their turn came.
    pub(crate) seen: u64,
    /// Let the request pass, and are still part of the exchange.
    pub(crate) passed: u64,
    /// Those among them that have yet to see a response's head.
    pub(crate) left: u64,
    /// Those among them that the present response passes.
    pub(crate) response: u64,
    pub(crate) skip_request: u64,
    pub(crate) skip_response: u64,
    /// Have seen the beginning of a response's body, and not its end.
    pub(crate) amid: u64,
}

impl Progress {
    pub(crate) fn wants_request_body(&self, place: usize) -> bool {
        self.passed & !self.skip_request & 1 << place != 0
    }

    pub(crate) fn wants_response_body(&self, place: usize) -> bool {
        self.response & !self.skip_response & 1 << place != 0
    }

    /// The plugin lets the request pass.
    pub(crate) fn pass(&mut self, place: usize) {
        self.passed |= 1 << place;
        self.left |= 1 << place;
        self.response |= 1 << place;
    }

    /// The plugin is no longer part of the exchange.
    pub(crate) fn leave(&mut self, place: usize) {
        self.passed &= !(1 << place);
        self.left &= !(1 << place);
        self.response &= !(1 << place);
    }

    /// The plugin's reply takes the place of what was to come: those before it see it.
    pub(crate) fn replied(&mut self, place: usize) {
        let before = (1 << place) - 1;
        self.left &= before;
        self.response &= before;
    }

    pub(crate) fn skip(&mut self, place: usize, skips: Skips) {
        self.skip_request |= u64::from(skips.request) << place;
        self.skip_response |= u64::from(skips.response) << place;
    }
}
