//! Complete the head that goes to the upstream.

use crate::context::Context;
use crate::state::Target;
use http::{HeaderValue, header};
use pingora::http::RequestHeader;

/// Say for whom the request is. Runs once per attempt, each time on a fresh copy of the head.
///
/// # Errors
/// A value that is not one, which cannot come from checked facts.
pub fn run(head: &mut RequestHeader, context: &mut Context) -> pingora::Result<()> {
    let route = context.route.as_deref();
    if let Some(Target::Upstream(upstream)) = route.map(|route| &route.target)
        && !upstream.keeps_connections
    {
        // A peer that closes is not pooled.
        head.insert_header(header::CONNECTION, "close")?;
    }
    complete(head, context)
}

pub(crate) fn complete(head: &mut RequestHeader, context: &Context) -> pingora::Result<()> {
    let facts = context.facts();
    let connection = context.connection.as_deref();
    if let Some(peer) = connection.and_then(|c| c.forwarded_for.clone()) {
        // A trusted proxy's list goes on; anybody else's was dropped at arrival.
        let before = tidegate_chain::joined(&head.headers, "x-forwarded-for");
        let value = match before.filter(|before| !before.is_empty()) {
            Some(before) => {
                let list = [&before, peer.as_bytes()].join(&b", "[..]);
                HeaderValue::from_bytes(&list).unwrap_or(peer)
            }
            None => peer,
        };
        head.insert_header("x-forwarded-for", value)?;
    }
    if !head.headers.contains_key(header::HOST) {
        // HTTP/1.0 has no host; what we send is HTTP/1.1, which must (RFC 9112 §3.2).
        head.insert_header(header::HOST, "")?;
    }
    if !head.headers.contains_key("x-forwarded-proto") {
        head.insert_header("x-forwarded-proto", facts.scheme)?;
    }
    if !head.headers.contains_key("x-forwarded-host")
        && let Some(host) = head.headers.get(header::HOST).cloned()
    {
        head.insert_header("x-forwarded-host", host)?;
    }
    head.insert_header("x-request-id", &*facts.request_id)
}
