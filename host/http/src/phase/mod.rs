//! One file for each moment of a request. The trait impl in the binary's `app.rs` calls them by name.

pub mod accept;
pub(crate) mod challenge;
pub mod failure;
pub mod log;
pub mod request;
pub mod request_body;
pub mod response;
pub mod upstream_peer;
pub mod upstream_request;

use pingora::protocols::http::ServerSession;

/// Whether the client has got the head of a final response, or a tunnel. After a 100 (Continue) it has not.
pub(crate) fn has_begun(session: &ServerSession) -> bool {
    let head = session.response_written();
    session.was_upgraded() || head.is_some_and(|head| !head.status.is_informational())
}
