//! A body on its way through the plugins of a chain.
//!
//! Each plugin that wants to see the body is a station, in the order of the direction. What a station
//! lets pass, the next one gets. A station that streams passes data on at once; one that buffers or
//! peeks holds it back until it has seen what it asked for, and as long as any does, the head
//! [waits](Body::waits).

use crate::chain::{places, places_from_last};
use crate::{
    Action, BodyMode, Chain, Exchange, Failure, FailureKind, Interest, Phase, Progress, Verdict,
};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that bodies of all exchanges together may hold back.
#[derive(Debug)]
pub struct Budget(AtomicUsize);

/// One direction of one exchange's body.
#[derive(Debug)]
pub struct Body {
    phase: Phase,
    stations: Vec<Station>,
    ended: bool,
    budget: Arc<Budget>,
    /// Taken of the budget.
    taken: usize,
}

#[derive(Debug)]
struct Station {
    place: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Streaming,
    Buffering(BytesMut, usize),
    Peeking(BytesMut, usize),
    /// Data passes unseen.
    Open,
}

impl Budget {
    /// So many bytes.
    pub fn new(bytes: usize) -> Arc<Budget> {
        Arc::new(Budget(AtomicUsize::new(bytes)))
    }

    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        let relaxed = Ordering::Relaxed;
        self.0.fetch_update(relaxed, relaxed, less).is_ok()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.taken, Ordering::Relaxed);
    }
}

impl Body {
    /// Whether the head has to wait: a plugin has not seen what it asked for.
    pub fn waits(&self) -> bool {
        let holds = |state: &State| matches!(state, State::Buffering(..) | State::Peeking(..));
        self.stations.iter().any(|station| holds(&station.state))
    }

    /// Whether no plugin is going to see any more of it.
    pub fn is_open(&self) -> bool {
        let open = |station: &Station| matches!(station.state, State::Open);
        self.stations.iter().all(open)
    }

    /// Whether its end went through.
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}

impl Chain {
    /// The way of the request's body, for the plugins that let the head pass and want to see it.
    pub fn request_body(&self, progress: &Progress, budget: &Arc<Budget>) -> Option<Body> {
        let those = places(self.request_body_plugins(progress));
        let mode = |interest: &Interest| interest.request_body;
        self.body(Phase::RequestBody, those, mode, budget)
    }

    /// The way of the response's body, for the plugins that this response passes. After
    /// [`Chain::response`].
    pub fn response_body(&self, progress: &Progress, budget: &Arc<Budget>) -> Option<Body> {
        let those = places_from_last(self.response_body_plugins(progress));
        let mode = |interest: &Interest| interest.response_body;
        self.body(Phase::ResponseBody, those, mode, budget)
    }

    fn body(
        &self,
        phase: Phase,
        places: impl Iterator<Item = usize>,
        mode: impl Fn(&Interest) -> BodyMode,
        budget: &Arc<Budget>,
    ) -> Option<Body> {
        let station = |place: usize| {
            let state = match mode(self.plugins().get(place)?.interest()) {
                BodyMode::None => return None,
                BodyMode::Streaming => State::Streaming,
                BodyMode::Buffer(limit) => State::Buffering(BytesMut::new(), limit),
                BodyMode::Peek(limit) => State::Peeking(BytesMut::new(), limit),
            };
            Some(Station { place, state })
        };
        let stations: Vec<Station> = places.filter_map(station).collect();
        (!stations.is_empty()).then(|| Body {
            phase,
            stations,
            ended: false,
            budget: budget.clone(),
            taken: 0,
        })
    }

    /// Send data through; with `end` it is the last. Gives what comes out at the other end.
    ///
    /// # Errors
    /// What to do instead: a plugin replied, or failed. The body is over then.
    pub async fn feed(
        &self,
        body: &mut Body,
        progress: &mut Progress,
        exchange: &mut Box<Exchange>,
        data: Bytes,
        end: bool,
    ) -> Result<Bytes, Verdict> {
        let mut data = data;
        body.ended |= end;
        for index in 0..body.stations.len() {
            if data.is_empty() && !end {
                break;
            }
            data = self
                .pass(body, index, progress, exchange, data, end)
                .await?;
        }
        Ok(data)
    }

    /// Through one station.
    async fn pass(
        &self,
        body: &mut Body,
        index: usize,
        progress: &mut Progress,
        exchange: &mut Box<Exchange>,
        data: Bytes,
        end: bool,
    ) -> Result<Bytes, Verdict> {
        let Some(station) = body.stations.get_mut(index) else {
            return Ok(data);
        };
        let (seen, rest, last) = match &mut station.state {
            State::Open => return Ok(data),
            State::Streaming => (data, Bytes::new(), end),
            State::Buffering(held, limit) => {
                let fits = held.len() + data.len() <= *limit && body.budget.take(data.len());
                if !fits {
                    let place = station.place;
                    let held = std::mem::take(held);
                    station.state = State::Open;
                    return match self.over_limit(place, body.phase, progress, exchange) {
                        Some(verdict) => Err(verdict),
                        None => Ok(joined(held, data)),
                    };
                }
                body.taken += data.len();
                held.extend_from_slice(&data);
                if !end {
                    return Ok(Bytes::new());
                }
                (std::mem::take(held).freeze(), Bytes::new(), true)
            }
            State::Peeking(held, limit) => {
                let limit = *limit;
                if !body.budget.take(data.len()) {
                    let place = station.place;
                    let held = std::mem::take(held);
                    station.state = State::Open;
                    return match self.over_limit(place, body.phase, progress, exchange) {
                        Some(verdict) => Err(verdict),
                        None => Ok(joined(held, data)),
                    };
                }
                body.taken += data.len();
                held.extend_from_slice(&data);
                // One byte more than the limit, to know whether there is more.
                if held.len() <= limit && !end {
                    return Ok(Bytes::new());
                }
                let mut all = std::mem::take(held).freeze();
                let seen = all.split_to(limit.min(all.len()));
                let whole = end && all.is_empty();
                (seen, all, whole)
            }
        };
        let streams = matches!(station.state, State::Streaming);
        if !streams || end {
            station.state = State::Open;
        }
        let place = station.place;
        let shown = seen.clone();
        let answer = self
            .run_body(place, body.phase, &shown, last, streams, progress, exchange)
            .await?;
        let passes = match answer {
            Some(action) => apply(action, seen),
            // It failed, and the request goes on as if it were not there.
            None => {
                self.open(body, place);
                seen
            }
        };
        let skipped = match body.phase {
            Phase::RequestBody => !progress.wants_request_body(place),
            _ => !progress.wants_response_body(place),
        };
        if skipped {
            self.open(body, place);
        }
        Ok(if rest.is_empty() {
            passes
        } else {
            joined(BytesMut::from(&passes[..]), rest)
        })
    }

    fn open(&self, body: &mut Body, place: usize) {
        if let Some(station) = body.stations.iter_mut().find(|s| s.place == place) {
            station.state = State::Open;
        }
    }

    /// The body is longer than the plugin asked for, or than all may hold together.
    fn over_limit(
        &self,
        place: usize,
        phase: Phase,
        progress: &mut Progress,
        exchange: &mut Exchange,
    ) -> Option<Verdict> {
        let failure = Failure {
            kind: FailureKind::OverLimit,
            message: "the body is longer than it can be held for the plugin".to_owned(),
        };
        self.settle(place, phase, failure, progress, exchange)
    }
}

fn apply(action: Action, data: Bytes) -> Bytes {
    match action {
        Action::Replace(other) => other,
        Action::Append(more) => joined(BytesMut::from(&data[..]), more),
        Action::Proceed | Action::Respond | Action::Piece(_) => data,
    }
}

fn joined(mut first: BytesMut, second: Bytes) -> Bytes {
    if first.is_empty() {
        return second;
    }
    first.extend_from_slice(&second);
    first.freeze()
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
