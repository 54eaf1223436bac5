//! The phases of an exchange, in order. Later contract versions add cases here and nowhere else.

/// A named moment in the life of an exchange at which plugins are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Phase {
    /// The request's head is read and routed; nothing went to an upstream.
    RequestHead,
    /// A response's final head is there; nothing of it went to the client.
    ResponseHead,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Phase; 2] = [Phase::RequestHead, Phase::ResponseHead];

    /// The name in WIT, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Phase::RequestHead => "request-head",
            Phase::ResponseHead => "response-head",
        }
    }
}

/// The phases that a plugin exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseSet(u8);

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
