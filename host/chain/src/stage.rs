//! Where an exchange is, and what may be done there: the state machine of the contract
//! (`wit/README.md`, "The states of an exchange"), as a value without sockets or clocks.
//!
//! The two sides move on their own: an upstream may answer while the request's body is still coming.
//! What ties them together is that nothing of the request can change once a response has begun.

use crate::{Phase, Target};

/// Where an exchange is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    request: RequestStage,
    response: ResponseStage,
}

/// How far the request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestStage {
    /// Plugins look at the head; nothing was sent.
    #[default]
    Head,
    /// The head waits for the body, or for its beginning.
    Held,
    /// The upstream is being chosen.
    Choosing,
    /// It goes to a peer.
    Sending,
}

/// How far the response is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResponseStage {
    /// There is none yet.
    #[default]
    Awaited,
    /// Plugins look at its head; nothing was sent.
    Head,
    /// The head waits for the body, or for its beginning.
    Held,
    /// The head is on its way to the client.
    Begun,
    /// The exchange is over.
    Over,
}

/// What happens to an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A plugin is to see the request's body before the head goes on.
    HoldRequest,
    /// The request is complete as far as plugins wanted to see it: an upstream is chosen.
    Choose,
    /// A peer is connected. Several times, where a peer failed before it answered.
    Attempt,
    /// A response's head is there, from the upstream, a plugin or the proxy; or another one that takes
    /// its place before it began.
    Respond,
    /// A plugin is to see the response's body before the head goes on.
    HoldResponse,
    /// The response's head goes to the client.
    Begin,
    /// Everything was sent, or the exchange was given up.
    End,
}

/// An event that cannot happen where the exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen at {stage:?}")]
pub struct OutOfOrder {
    /// The event.
    pub event: Event,
    /// Where the exchange is, and stays.
    pub stage: Stage,
}

impl Stage {
    /// How far the request is.
    pub fn request(self) -> RequestStage {
        self.request
    }

    /// How far the response is.
    pub fn response(self) -> ResponseStage {
        self.response
    }

    /// Move on.
    ///
    /// # Errors
    /// The event cannot happen here; nothing has changed.
    pub fn on(&mut self, event: Event) -> Result<(), OutOfOrder> {
        use {RequestStage as Req, ResponseStage as Res};
        let next = match (event, self.request, self.response) {
            (Event::HoldRequest, Req::Head, Res::Awaited) => (Req::Held, Res::Awaited),
            (Event::Choose, Req::Head | Req::Held, Res::Awaited) => (Req::Choosing, Res::Awaited),
            (Event::Attempt, Req::Choosing | Req::Sending, Res::Awaited) => {
                (Req::Sending, Res::Awaited)
            }
            (Event::Respond, request, Res::Awaited | Res::Head | Res::Held) => (request, Res::Head),
            (Event::HoldResponse, request, Res::Head) => (request, Res::Held),
            (Event::Begin, request, Res::Head | Res::Held) => (request, Res::Begun),
            (Event::End, request, response) if response != Res::Over => (request, Res::Over),
            _ => {
                return Err(OutOfOrder {
                    event,
                    stage: *self,
                });
            }
        };
        (self.request, self.response) = next;
        Ok(())
    }

    /// Whether plugins may be called in `phase` here.
    pub fn permits(self, phase: Phase) -> bool {
        use {RequestStage as Req, ResponseStage as Res};
        match phase {
            Phase::RequestHead => self.request == Req::Head && self.response == Res::Awaited,
            Phase::RequestBody => self.response != Res::Over,
            Phase::UpstreamChoice => self.request == Req::Choosing && self.response == Res::Awaited,
            Phase::UpstreamRequest => self.request == Req::Sending && self.response == Res::Awaited,
            Phase::ResponseHead => self.response == Res::Head,
            Phase::ResponseBody | Phase::ResponseTrailers | Phase::ReplyBody => {
                matches!(self.response, Res::Held | Res::Begun)
            }
            Phase::Log => self.response == Res::Over,
            Phase::Tick => false,
        }
    }

    /// Whether a plugin that is called in `phase` may edit this head.
    pub fn may_edit(self, target: Target, phase: Phase) -> bool {
        match (target, phase) {
            (Target::Request, Phase::RequestHead)
            | (Target::Request, Phase::UpstreamChoice | Phase::UpstreamRequest)
            | (Target::Response, Phase::ResponseHead)
            | (Target::Trailers, Phase::ResponseTrailers) => self.permits(phase),
            (Target::Request, Phase::RequestBody) => {
                self.request < RequestStage::Sending && self.response == ResponseStage::Awaited
            }
            (Target::Response, Phase::ResponseBody) => self.response == ResponseStage::Held,
            _ => false,
        }
    }

    /// Whether a plugin that is called in `phase` may say what is to be done to the response.
    pub fn may_prepare(self, phase: Phase) -> bool {
        let early = matches!(
            phase,
            Phase::RequestHead
                | Phase::RequestBody
                | Phase::UpstreamChoice
                | Phase::UpstreamRequest
        );
        early && self.response == ResponseStage::Awaited
    }

    /// Whether a plugin that is called in `phase` may reply instead of what was to come.
    pub fn may_reply(self, phase: Phase) -> bool {
        match phase {
            Phase::RequestHead
            | Phase::UpstreamChoice
            | Phase::UpstreamRequest
            | Phase::ResponseHead => self.permits(phase),
            Phase::RequestBody => self.response == ResponseStage::Awaited,
            Phase::ResponseBody => self.response == ResponseStage::Held,
            Phase::ResponseTrailers | Phase::ReplyBody | Phase::Log | Phase::Tick => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EVENTS: [Event; 7] = [
        Event::HoldRequest,
        Event::Choose,
        Event::Attempt,
        Event::Respond,
        Event::HoldResponse,
        Event::Begin,
        Event::End,
    ];

    fn events() -> impl Strategy<Value = Vec<Event>> {
        prop::collection::vec(prop::sample::select(&EVENTS[..]), 0..40)
    }

    #[test]
    fn the_usual_ways_through() {
        use Event::*;
        for way in [
            &[Choose, Attempt, Respond, Begin, End][..],
            &[
                HoldRequest,
                Choose,
                Attempt,
                Attempt,
                Respond,
                HoldResponse,
                Begin,
                End,
            ],
            &[Respond, Begin, End],
            &[HoldRequest, Respond, Respond, Begin, End],
            &[Choose, Attempt, Respond, HoldResponse, Respond, Begin, End],
            &[End],
        ] {
            let mut stage = Stage::default();
            for event in way {
                assert_eq!(stage.on(*event), Ok(()), "{event:?} of {way:?}");
            }
        }
    }

    proptest! {
        /// Whatever happens in whatever order: neither side goes back (but for a reply that takes a
        /// head's place), what is refused changes nothing, and the end is the end.
        #[test]
        fn no_sequence_of_events_goes_back(events in events()) {
            let mut stage = Stage::default();
            let mut over = false;
            for event in events {
                let before = stage;
                match stage.on(event) {
                    Err(_) => prop_assert_eq!(stage, before),
                    Ok(()) => {
                        prop_assert!(!over);
                        over = event == Event::End;
                        prop_assert!(stage.request() >= before.request());
                        let replaced = event == Event::Respond && before.response() == ResponseStage::Held;
                        prop_assert!(replaced || stage.response() >= before.response());
                    }
                }
            }
        }

        /// What is on the wire stays as it is: once a head is sent, nobody may edit it or reply.
        #[test]
        fn what_was_sent_cannot_be_changed(events in events()) {
            let mut stage = Stage::default();
            let (mut sent, mut begun, mut over) = (false, false, false);
            for event in events {
                if stage.on(event).is_ok() {
                    sent |= event == Event::Attempt;
                    begun |= event == Event::Begin;
                    over |= event == Event::End;
                }
                for phase in Phase::ALL {
                    let reply = stage.may_reply(phase);
                    let request = stage.may_edit(Target::Request, phase);
                    let response = stage.may_edit(Target::Response, phase);
                    let any = reply || request || response;
                    // Nothing may be done in a phase that cannot be now.
                    prop_assert!(!any || stage.permits(phase), "{phase:?} at {stage:?}");
                    prop_assert!(!(begun || over) || !any, "{phase:?} at {stage:?}");
                    // Each attempt has a head of its own, and only that one may still change.
                    prop_assert!(!sent || !request || phase == Phase::UpstreamRequest);
                    prop_assert_eq!(over, stage.permits(Phase::Log));
                }
            }
        }
    }
}
