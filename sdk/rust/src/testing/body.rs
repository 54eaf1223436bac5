//! Whole bodies through a plugin, in the mode that it asked for.

use super::imports::response::is_bodiless;
use super::phase::Phase;
use super::{Exchange, Instance};
use crate::{BodyAction, BodyMode, CutOff, Plugin, export};

/// What became of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyOutcome {
    /// It went on, as this.
    Passed(Vec<u8>),
    /// The plugin replied instead: [`Exchange::reply`].
    Responded,
    /// The plugin could not decide: the operator's failure policy applies.
    Failed,
    /// It is longer than the plugin buffers: the operator's `over_limit` applies.
    TooLong,
}

/// One of the two exports.
type Handle<P> = fn(&export::Slot<P>, Vec<u8>, bool) -> BodyAction;

#[derive(Clone, Copy)]
enum Direction {
    Request,
    Response,
}

impl<P: Plugin> Instance<P> {
    /// The request's body, in pieces: `body.chunks(1000)`, for example. The plugin sees them as
    /// it asked for with [`Interest::request_body`](crate::Interest::request_body), the last one
    /// with its end.
    pub fn on_request_body<D: AsRef<[u8]>>(
        &mut self,
        exchange: &mut Exchange,
        pieces: impl IntoIterator<Item = D>,
    ) -> BodyOutcome {
        let mode = self.host.interest.request_body;
        let direction = Direction::Request;
        self.pass(
            exchange,
            direction,
            mode,
            owned(pieces),
            export::on_request_body,
        )
    }

    /// The response's body, likewise. Nothing is called for a response that has none: to `HEAD`,
    /// 204, 304.
    pub fn on_response_body<D: AsRef<[u8]>>(
        &mut self,
        exchange: &mut Exchange,
        pieces: impl IntoIterator<Item = D>,
    ) -> BodyOutcome {
        let mode = if exchange.request.method == "HEAD" || is_bodiless(exchange.status) {
            BodyMode::None
        } else {
            self.host.interest.response_body
        };
        let direction = Direction::Response;
        self.pass(
            exchange,
            direction,
            mode,
            owned(pieces),
            export::on_response_body,
        )
    }

    /// The next piece of the body of a reply that the plugin began to stream; `None` at its end.
    ///
    /// # Errors
    ///
    /// The plugin cut it off, or it began none.
    pub fn on_reply_body(&mut self, exchange: &mut Exchange) -> Result<Option<Vec<u8>>, CutOff> {
        self.call(exchange, Phase::ReplyBody, export::on_reply_body)
            .map_err(|()| CutOff)
    }

    fn pass(
        &mut self,
        exchange: &mut Exchange,
        direction: Direction,
        mode: BodyMode,
        pieces: Vec<Vec<u8>>,
        handle: Handle<P>,
    ) -> BodyOutcome {
        if !self.is_interested(exchange) {
            return BodyOutcome::Passed(pieces.concat());
        }
        // What the plugin is called with, and what passes unseen after that.
        let (calls, rest) = match mode {
            BodyMode::None => (Vec::new(), pieces.concat()),
            BodyMode::Streaming => (pieces, Vec::new()),
            BodyMode::Buffer(limit) => {
                let whole = pieces.concat();
                if whole.len() as u64 > limit {
                    return BodyOutcome::TooLong;
                }
                (vec![whole], Vec::new())
            }
            BodyMode::Peek(limit) => {
                let mut beginning = pieces.concat();
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let rest = beginning.split_off(limit.min(beginning.len()));
                (vec![beginning], rest)
            }
        };
        let phase = direction.phase(mode != BodyMode::Streaming);
        let count = calls.len();
        let mut passed = Vec::new();
        for (index, data) in calls.into_iter().enumerate() {
            if direction.is_skipped(exchange) {
                passed.extend(data);
                continue;
            }
            let end = index + 1 == count && rest.is_empty();
            let action = self.call(exchange, phase, |slot| handle(slot, data.clone(), end));
            match action {
                BodyAction::Pass => passed.extend(data),
                BodyAction::Replace(other) => passed.extend(other),
                BodyAction::Append(more) => passed.extend([data, more].concat()),
                BodyAction::Drop => {}
                BodyAction::Respond if exchange.reply.is_some() => return BodyOutcome::Responded,
                BodyAction::Respond | BodyAction::Fail => return BodyOutcome::Failed,
            }
        }
        passed.extend(rest);
        BodyOutcome::Passed(passed)
    }
}

impl Direction {
    fn is_skipped(self, exchange: &Exchange) -> bool {
        match self {
            Self::Request => exchange.skips_request_body,
            Self::Response => exchange.skips_response_body,
        }
    }

    fn phase(self, head_waits: bool) -> Phase {
        match self {
            Self::Request => Phase::RequestBody { head_waits },
            Self::Response => Phase::ResponseBody { head_waits },
        }
    }
}

/// The pieces that are not empty; of an empty body, one that is.
fn owned<D: AsRef<[u8]>>(pieces: impl IntoIterator<Item = D>) -> Vec<Vec<u8>> {
    let pieces = pieces.into_iter().map(|piece| piece.as_ref().to_vec());
    let mut pieces: Vec<Vec<u8>> = pieces.filter(|piece| !piece.is_empty()).collect();
    if pieces.is_empty() {
        pieces.push(Vec::new());
    }
    pieces
}
