//! What became of an exchange.

use std::time::Duration;

/// The final facts, for [`crate::Phase::Log`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What the client got; 0 where it got none.
    pub status: u16,
    /// Bytes of the request body that were read.
    pub request_bytes: u64,
    /// Bytes of the response body that were sent.
    pub response_bytes: u64,
    /// From the request's head to the end.
    pub duration: Duration,
    /// From the request's head to the upstream's response head.
    pub upstream_wait: Option<Duration>,
    /// What went wrong, as in the access log.
    pub problem: Option<String>,
}
