//! The phases, and what the contract allows in each.

/// Where a call into the plugin comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Configure,
    Tick,
    RequestHead,
    RequestBody { head_waits: bool },
    UpstreamChoice,
    UpstreamRequest,
    ResponseHead,
    ResponseBody { head_waits: bool },
    ResponseTrailers,
    ReplyBody,
    Log,
}

impl Phase {
    pub(super) fn is_configure(self) -> bool {
        self == Self::Configure
    }

    /// A phase of an exchange.
    pub(super) fn has_exchange(self) -> bool {
        !matches!(self, Self::Configure | Self::Tick)
    }

    pub(super) fn edits_request(self) -> bool {
        matches!(
            self,
            Self::RequestHead
                | Self::RequestBody { head_waits: true }
                | Self::UpstreamChoice
                | Self::UpstreamRequest
        )
    }

    pub(super) fn skips_request_body(self) -> bool {
        matches!(
            self,
            Self::RequestHead | Self::RequestBody { .. } | Self::UpstreamChoice
        )
    }

    /// There is a response's head.
    pub(super) fn has_response(self) -> bool {
        matches!(
            self,
            Self::ResponseHead
                | Self::ResponseBody { .. }
                | Self::ResponseTrailers
                | Self::ReplyBody
                | Self::Log
        )
    }

    pub(super) fn edits_response(self) -> bool {
        matches!(
            self,
            Self::ResponseHead | Self::ResponseBody { head_waits: true }
        )
    }

    /// There is no response's head.
    pub(super) fn prepares_response(self) -> bool {
        matches!(self, Self::RequestBody { .. }) || self.edits_request()
    }

    pub(super) fn skips_response_body(self) -> bool {
        matches!(self, Self::ResponseHead | Self::ResponseBody { .. }) || self.skips_request_body()
    }

    /// Nothing of a response was sent.
    pub(super) fn replies(self) -> bool {
        self.prepares_response() || self.edits_response()
    }

    pub(super) fn chooses_upstream(self) -> bool {
        self == Self::UpstreamChoice
    }

    /// The upstream is known.
    pub(super) fn has_upstream(self) -> bool {
        self.chooses_upstream() || self.has_peer()
    }

    /// The peer is known.
    pub(super) fn has_peer(self) -> bool {
        self == Self::UpstreamRequest || self.has_response()
    }

    pub(super) fn has_trailers(self) -> bool {
        self == Self::ResponseTrailers
    }

    pub(super) fn has_outcome(self) -> bool {
        self == Self::Log
    }
}
