//! The exchange is over: metrics, access log, and the plugins that want to know.

use crate::abuse::Cut;
use crate::access_log::{AccessLog, Entry};
use crate::attribute_metrics::AttributeMetrics;
use crate::context::Context;
use crate::head::Request;
use crate::interpose::Interposed;
use crate::metrics::Metrics;
use crate::plugins::{Plugins, Shared};
use pingora::Error;
use pingora::protocols::http::ServerSession;
use tidegate_chain::{Event, Outcome, Verdict};

/// Where requests are counted and written down.
pub struct Journal {
    /// What is counted of all.
    pub metrics: Metrics,
    /// What is counted by attributes.
    pub attributes: AttributeMetrics,
    /// The access log, where there is one.
    pub access: Option<AccessLog>,
}

/// Count and write down.
pub async fn run(
    session: &mut ServerSession,
    error: Option<&Error>,
    context: &mut Context,
    journal: &Journal,
) {
    context.give_back(session);
    context.take_verdict();
    Interposed::remove(session, context);
    context.upstream.place = None;
    if let Some(connection) = context.connection.as_ref().filter(|_| !session.is_http2())
        && connection.clock.requests() >= context.state.limits.requests_per_connection
    {
        connection.guard.cut(Cut::RequestsPerConnection);
    }
    let took = context.start.elapsed();
    let tunnel = context.tunnel.unwrap_or_default();
    // The response to a request that opened a tunnel ended with its head.
    let answered = context.upstream.answered_after;
    let answered = context.tunnel.and(answered).unwrap_or(took);
    let status = session
        .response_written()
        .filter(|_| super::has_begun(session))
        .map_or(0, |head| head.status.as_u16());
    match &context.route {
        Some(route) => route.metrics.done(status, answered),
        None => journal.metrics.without_route().done(status, took),
    }
    if let Some(error) = error.filter(|_| context.problem.is_none()) {
        context.problem = Some(error.etype().as_str().to_owned());
    }
    let outcome = Outcome {
        status,
        request_bytes: context.body_bytes + tunnel.up,
        response_bytes: session.body_bytes_sent() as u64 + tunnel.down,
        duration: took,
        upstream_wait: context.upstream.answered_after,
        problem: context.problem.clone(),
    };
    let shared = context.plugins.take();
    let plugins = shared.as_ref().and_then(|shared| shared.try_lock());
    let head = session.req_header();
    let entry = Entry {
        facts: &context.facts,
        method: head.method.as_str(),
        path: head.uri.path(),
        upstream: context.upstream.group.as_deref().map(|group| &*group.name),
        peer: context.upstream.peer.as_deref(),
        attempts: context.upstream.attempts,
        outcome: &outcome,
        exchange: plugins.as_ref().map(|plugins| &*plugins.exchange),
    };
    journal.attributes.done(|name| entry.attribute(name));
    if let Some(log) = &journal.access {
        log.write(&entry);
    }
    drop(plugins);
    if let Some(shared) = shared {
        tell_plugins(session, shared, outcome).await;
    }
}

/// Run the log phase; beside the connection, where it can wait.
async fn tell_plugins(session: &mut ServerSession, shared: Shared, outcome: Outcome) {
    let mut plugins = shared.lock().await;
    let chain = &plugins.route.clone().chain;
    let Some(waits) = chain.logs(&plugins.progress) else {
        return;
    };
    if plugins.on(Event::End).is_err() {
        return;
    }
    plugins.exchange.outcome = Some(outcome);
    if let Some(head) = session.response_written() {
        let head = head.clone();
        plugins.put_response(head);
    }
    if waits {
        // What others wait for is not held until this is through.
        plugins.exchange.leases.clear();
        plugins.exchange.request = Box::new(Request(session.req_header().clone()));
        drop(plugins);
        tokio::spawn(async move { log(&mut *shared.lock().await).await });
        return;
    }
    plugins.lend(session.req_header_mut());
    log(&mut plugins).await;
    plugins.give_back(session.req_header_mut());
}

async fn log(plugins: &mut Plugins) {
    let route = plugins.route.clone();
    let Plugins {
        progress, exchange, ..
    } = &mut *plugins;
    route.chain.log(progress, exchange).await;
    plugins.report(&Verdict::Proceed);
}
