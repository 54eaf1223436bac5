//! Choose a peer, for the first attempt and for each that follows.

use crate::context::Context;
use crate::state::Target;
use pingora::ErrorType::{self, HTTPStatus};
use pingora::prelude::HttpPeer;
use pingora::{Error, ErrorSource, proxy::Session};

/// The peer whose turn it is.
///
/// # Errors
/// The route has no upstream, which the request phase has ruled out.
pub fn run(session: &Session, context: &mut Context) -> pingora::Result<Box<HttpPeer>> {
    let upstream = match context.route.as_deref().map(|route| &route.target) {
        Some(Target::Upstream(upstream)) => upstream,
        _ => return Error::e_explain(HTTPStatus(500), "no upstream"),
    };
    let trace = &mut context.upstream;
    trace.turn = match trace.attempts {
        0 => upstream.turn(),
        _ => upstream.turn_after(trace.turn),
    };
    trace.attempts += 1;
    let Some(peer) = upstream.peer(trace.turn) else {
        return Error::e_explain(ErrorType::InternalError, "no peer");
    };
    trace.peer = Some(peer.name.clone());
    let name = upstream.name.clone();
    let mut peer = peer.http_peer();
    if session.is_upgrade_req() {
        // A tunnel is ended by its ends.
        peer.options.read_timeout = None;
    }
    context.facts_mut().upstream = Some(name);
    Ok(Box::new(peer))
}

/// The peer could not be reached: nothing was sent, so any request may be tried again.
pub fn failed_to_connect(context: &mut Context, mut error: Box<Error>) -> Box<Error> {
    count_failure(context);
    error.set_retry(may_retry(context));
    error
}

/// The attempt failed later: only what can be repeated is.
pub fn failed(
    session: &mut Session,
    context: &mut Context,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    if *error.esource() == ErrorSource::Upstream {
        count_failure(context);
    }
    let repeatable = context.instead.is_none()
        && session.req_header().method.is_idempotent()
        && !session.as_ref().retry_buffer_truncated()
        && session.response_written().is_none();
    error.retry.decide_reuse(reused);
    // An upstream that closed a pooled connection while we wrote to it has not seen the request.
    let retry = repeatable && error.retry() && may_retry(context);
    error.set_retry(retry);
    error
}

fn may_retry(context: &Context) -> bool {
    match context.route.as_deref().map(|route| &route.target) {
        Some(Target::Upstream(upstream)) => context.upstream.attempts < upstream.attempts,
        _ => false,
    }
}

fn count_failure(context: &Context) {
    if let Some(Target::Upstream(upstream)) = context.route.as_deref().map(|route| &route.target) {
        upstream.metrics.failed.inc();
    }
}
