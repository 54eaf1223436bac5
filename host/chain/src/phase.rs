//! The phases in which plugins are called. Later contract versions add cases here and nowhere else.

/// A named moment at which plugins are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Phase {
    /// The request's head is read and routed; nothing went to an upstream.
    RequestHead,
    /// Data of the request's body.
    RequestBody,
    /// Which upstream is asked; once for each request that goes to one.
    UpstreamChoice,
    /// A peer is connected and about to get the request; once for each attempt.
    UpstreamRequest,
    /// A response's final head is there; nothing of it went to the client.
    ResponseHead,
    /// Data of the response's body.
    ResponseBody,
    /// The upstream sent trailers.
    ResponseTrailers,
    /// The next piece of a reply's body is wanted from the plugin that began the reply.
    ReplyBody,
    /// The exchange is over.
    Log,
    /// Time has passed; of no exchange.
    Tick,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Phase; 10] = [
        Phase::RequestHead,
        Phase::RequestBody,
        Phase::UpstreamChoice,
        Phase::UpstreamRequest,
        Phase::ResponseHead,
        Phase::ResponseBody,
        Phase::ResponseTrailers,
        Phase::ReplyBody,
        Phase::Log,
        Phase::Tick,
    ];

    /// The name in WIT (after `on-`), metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Phase::RequestHead => "request-head",
            Phase::RequestBody => "request-body",
            Phase::UpstreamChoice => "upstream-choice",
            Phase::UpstreamRequest => "upstream-request",
            Phase::ResponseHead => "response-head",
            Phase::ResponseBody => "response-body",
            Phase::ResponseTrailers => "response-trailers",
            Phase::ReplyBody => "reply-body",
            Phase::Log => "log",
            Phase::Tick => "tick",
        }
    }
}

/// The phases that a plugin exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseSet(u16);

impl PhaseSet {
    /// This set and `phase`.
    #[must_use]
    pub fn with(self, phase: Phase) -> PhaseSet {
        PhaseSet(self.0 | 1 << phase as u8)
    }

    /// Whether the plugin exports `phase`.
    pub fn contains(self, phase: Phase) -> bool {
        self.0 & 1 << phase as u8 != 0
    }

    /// The phases in it, in order.
    pub fn iter(self) -> impl Iterator<Item = Phase> {
        Phase::ALL.into_iter().filter(move |p| self.contains(*p))
    }
}

impl FromIterator<Phase> for PhaseSet {
    fn from_iter<I: IntoIterator<Item = Phase>>(phases: I) -> PhaseSet {
        phases.into_iter().fold(PhaseSet::default(), PhaseSet::with)
    }
}
