//! The exchange is over: metrics and access log.

use crate::access_log::{AccessLog, Entry};
use crate::context::Context;
use crate::metrics::Metrics;
use pingora::Error;
use pingora::proxy::Session;

/// Count and write down.
pub fn run(
    session: &Session,
    error: Option<&Error>,
    context: &mut Context,
    metrics: &Metrics,
    log: Option<&AccessLog>,
) {
    let took = context.start.elapsed();
    let status = session
        .response_written()
        .map_or(0, |head| head.status.as_u16());
    match &context.route {
        Some(route) => route.metrics.done(status, took),
        None => metrics.without_route().done(status, took),
    }
    let Some(log) = log else { return };
    if let Some(error) = error.filter(|_| context.problem.is_none()) {
        context.problem = Some(error.etype().as_str().to_owned());
    }
    let head = session.req_header();
    log.write(&Entry {
        facts: context.facts(),
        method: head.method.as_str(),
        path: head.uri.path(),
        status,
        bytes: session.body_bytes_sent(),
        took,
        peer: context.upstream.peer.as_deref(),
        attempts: context.upstream.attempts,
        notes: context.plugins.as_ref().map_or(&[], |p| &p.exchange.notes),
        problem: context.problem.as_deref(),
    });
}
