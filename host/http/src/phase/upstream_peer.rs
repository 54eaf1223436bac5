//! Choose a peer, for the first attempt and for each that follows.

use crate::admission::{Admission, Overload};
use crate::connect::ConnectError;
use crate::context::{Context, Instead};
use crate::plugins::{Plugins, internal, unless_gone};
use crate::state::Target;
use crate::throttle::Throttle;
use crate::upstream::Upstream;
use http::{StatusCode, header};
use pingora::ErrorType::{self, HTTPStatus};
use pingora::prelude::HttpPeer;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource};
use std::pin::pin;
use std::sync::Arc;
use tidegate_chain::{Event, Phase, ResponseStage, Verdict};

/// Requests cause these lines.
static LINES: Throttle = Throttle::new();

/// Choose the upstream, and wait until it may have one more request.
///
/// # Errors
/// As for `next`; or it has as many as it may.
pub async fn admit(session: &mut ServerSession, context: &mut Context) -> pingora::Result<()> {
    match context.is_handed_over {
        true => Ok(()),
        false => choose(session, context).await,
    }
}

/// The peer whose turn it is, as Pingora takes it.
///
/// # Errors
/// As for `next`.
pub async fn run(
    session: &mut ServerSession,
    context: &mut Context,
) -> pingora::Result<Box<HttpPeer>> {
    let upstream = next(session, context).await?;
    let Some(peer) = upstream.peer(context.upstream.turn) else {
        return Err(internal("no peer"));
    };
    Ok(Box::new(peer.http_peer(context.proxied_for())))
}

/// Choose the upstream, at the first attempt, and whose turn it is.
///
/// # Errors
/// The route has no upstream, which the request phase has ruled out; or a plugin decided otherwise.
pub(crate) async fn next(
    session: &mut ServerSession,
    context: &mut Context,
) -> pingora::Result<Arc<Upstream>> {
    if context.upstream.group.is_none() {
        // A tunnel's.
        choose(session, context).await?;
    }
    let Some(upstream) = context.upstream.group.clone() else {
        return Error::e_explain(HTTPStatus(500), "no upstream");
    };
    let trace = &mut context.upstream;
    if trace.attempts > 0 {
        trace.turn = upstream.turn_after(trace.turn);
    }
    trace.attempts += 1;
    let again = trace.attempts > 1;
    trace.peer = upstream.peer(trace.turn).map(|peer| peer.name.clone());
    let mut primes = false;
    if let Some(shared) = &context.plugins {
        let mut plugins = shared.lock().await;
        let asked = &mut plugins.exchange.upstreams;
        asked.asked = Some(upstream.name.clone());
        asked.peer = trace.peer.clone();
        asked.attempt = trace.attempts;
        primes = plugins.primes;
    }
    if again && !primes {
        // The body comes once more from its beginning.
        context.body_bytes = 0;
    }
    Ok(upstream)
}

/// Ask the plugins which group and which peer, then the group's balancer.
async fn choose(session: &mut ServerSession, context: &mut Context) -> pingora::Result<()> {
    let Some(Target::Upstream(own)) = context.route.as_deref().map(|route| &route.target) else {
        return Ok(());
    };
    let mut upstream = own.clone();
    let mut turn = None;
    if let Some(shared) = context.plugins.clone() {
        let mut plugins = shared.lock().await;
        ask_plugins(session, &mut plugins).await?;
        let choice = &plugins.exchange.upstreams;
        if let Some(chosen) = choice.chosen.as_ref() {
            upstream = group(context, chosen)?;
        }
        turn = choice.chosen_peer.map(|peer| upstream.turn_of(peer));
        if let (None, Some(name)) = (turn, &upstream.hash_by) {
            let value = plugins.exchange.attribute(name);
            turn = value.map(|value| upstream.turn_for(value.text().as_bytes()));
        }
    } else if let Some(name) = &upstream.hash_by {
        let value = context.facts.attribute(name);
        turn = value.map(|value| upstream.turn_for(value.text().as_bytes()));
    }
    context.upstream.turn = turn.unwrap_or_else(|| upstream.turn());
    let admission = upstream.admission.clone();
    context.upstream.group = Some(upstream);
    match admission {
        Some(admission) => enter(session, context, &admission).await,
        None => Ok(()),
    }
}

/// Wait until the upstream may have one more request.
async fn enter(
    session: &mut ServerSession,
    context: &mut Context,
    admission: &Admission,
) -> pingora::Result<()> {
    let overload = match unless_gone(session, true, pin!(admission.enter())).await? {
        Ok(place) => {
            context.upstream.place = Some(place);
            return Ok(());
        }
        Err(overload) => overload,
    };
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut reply = context
        .error_pages()
        .reply(status, "too many requests at once");
    if let Some(seconds) = admission.retry_after() {
        reply.headers.insert(header::RETRY_AFTER, seconds);
    }
    context.instead = Some(Instead::Reply(reply));
    // To connect again, to be refused again, would cost both sides more than the refusal.
    context.is_early = true;
    let problem = match overload {
        Overload::QueueFull => "upstream: as many wait as may",
        Overload::QueueTimeout => "upstream: its turn did not come in time",
    };
    context.problem = Some(problem.to_owned());
    Err(Error::explain(HTTPStatus(status.as_u16()), problem))
}

async fn ask_plugins(session: &mut ServerSession, plugins: &mut Plugins) -> pingora::Result<()> {
    plugins.on(Event::Choose)?;
    let route = plugins.route.clone();
    if !route.chain.exports(Phase::UpstreamChoice) {
        return Ok(());
    }
    plugins.lend(session.req_header_mut());
    let verdict = {
        let Plugins {
            progress, exchange, ..
        } = &mut *plugins;
        let phase = Phase::UpstreamChoice;
        let work = pin!(route.chain.upstream(phase, progress, exchange));
        unless_gone(session, route.chain.waits(), work).await
    };
    plugins.give_back(session.req_header_mut());
    match verdict? {
        Verdict::Proceed => {
            plugins.report(&Verdict::Proceed);
            Ok(())
        }
        verdict => Err(plugins.instead(verdict)),
    }
}

fn group(context: &Context, name: &str) -> pingora::Result<Arc<Upstream>> {
    let known = context.state.upstreams.get(name).cloned();
    known.ok_or_else(|| Error::explain(ErrorType::InternalError, "the chosen upstream is gone"))
}

/// The peer could not be reached: nothing was sent, so any request may be tried again.
pub fn failed_to_connect(context: &mut Context, mut error: Box<Error>) -> Box<Error> {
    count_failure(context, &error);
    count_reason(context, &error);
    error.set_retry(may_retry(context));
    error
}

/// The attempt failed later: only what can be repeated is.
pub fn failed(
    session: &mut ServerSession,
    context: &mut Context,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    context.give_back(session);
    context.take_verdict();
    if *error.esource() == ErrorSource::Upstream {
        count_failure(context, &error);
    }
    let repeatable = context.instead.is_none()
        && session.req_header().method.is_idempotent()
        && !session.retry_buffer_truncated()
        && !super::has_begun(session)
        && can_start_anew(context);
    error.retry.decide_reuse(reused);
    // An upstream that closed a pooled connection while we wrote to it has not seen the request.
    let retry = repeatable && error.retry() && may_retry(context);
    error.set_retry(retry);
    error
}

/// Whether plugins have seen nothing of this attempt that they would see again: data of the body, or the
/// head of a response that was never sent.
fn can_start_anew(context: &Context) -> bool {
    let Some(shared) = &context.plugins else {
        return true;
    };
    let Some(mut plugins) = shared.try_lock() else {
        return false;
    };
    let awaited = plugins.exchange.stage.response() == ResponseStage::Awaited;
    let anew = !plugins.streamed && awaited;
    // What was held back goes to the next peer as it went to this one.
    plugins.primed = plugins.primes;
    anew
}

fn may_retry(context: &Context) -> bool {
    let upstream = context.upstream.group.as_deref();
    upstream.is_some_and(|upstream| context.upstream.attempts < upstream.attempts)
}

/// Count why there is no connection, and say so in the log where it is not the network's fault.
fn count_reason(context: &Context, error: &Error) {
    let Some(upstream) = &context.upstream.group else {
        return;
    };
    let known = error.root_cause().downcast_ref::<ConnectError>();
    let reason = match (known, error.etype()) {
        (Some(error), _) => error.reason(),
        (None, ErrorType::ConnectTimedout) => "timeout",
        (None, _) => "connect",
    };
    upstream.metrics.unconnected(reason);
    if let Some(error) = known.filter(|error| error.is_of_tls())
        && let Some(left_out) = LINES.pass()
    {
        let peer = context.upstream.peer.as_deref();
        tracing::warn!(upstream = &*upstream.name, peer, %error, left_out, "no TLS with a peer");
    }
}

fn count_failure(context: &Context, error: &Error) {
    let Some(upstream) = &context.upstream.group else {
        return;
    };
    match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => upstream.metrics.late.inc(),
        _ => upstream.metrics.failed.inc(),
    }
}
