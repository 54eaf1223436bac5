//! The request's body: counted, held back while a plugin wants to see it before the head goes on, and taken
//! through the plugins that want to see it as it comes.

use crate::abuse::Refusal;
use crate::context::{Context, Instead};
use crate::interpose::{Held, Interposed};
use crate::plugins::{Plugins, Shared, unless_gone};
use crate::tunnel::is_extended_connect;
use bytes::{Bytes, BytesMut};
use http::{StatusCode, Version, header};
use pingora::protocols::http::ServerSession;
use std::pin::pin;
use tidegate_chain::{Event, Reply, Verdict};

/// Read the body for as long as a plugin waits for it, and put our session in front of the client's where
/// bodies need it. A reply, where a plugin has seen enough.
///
/// # Errors
/// The body is longer than is allowed, or the client is gone.
pub(super) async fn hold(
    session: &mut ServerSession,
    context: &mut Context,
    shared: &Shared,
) -> pingora::Result<Option<Reply>> {
    let mut plugins = shared.lock().await;
    let chain = &plugins.route.clone().chain;
    let body = chain.request_body(&plugins.progress, &context.state.held);
    // A body that is not there is over at once.
    let waits = body
        .as_ref()
        .is_some_and(|body| body.waits() || is_over(session));
    plugins.request_body = body;
    let mut held = None;
    if waits {
        match Box::pin(read(session, context, &mut plugins)).await? {
            Ok(read) => held = Some(read),
            Err(reply) => return Ok(Some(reply)),
        }
    }
    // Pingora begins every attempt with what was held, if that is anything.
    plugins.primes = held.as_ref().is_some_and(|h| h.whole || !h.data.is_empty());
    plugins.primed = plugins.primes;
    let responses = chain.response_body(&plugins.progress, &context.state.held);
    let wanted = responses.is_some() || chain.wants_trailers(&plugins.progress);
    drop(plugins);
    if wanted || held.is_some() {
        Interposed::put(session, context, shared.clone(), held);
    }
    Ok(None)
}

/// Whether there is nothing (more) to read. What follows the head of an extended CONNECT is a tunnel's.
fn is_over(session: &mut ServerSession) -> bool {
    is_extended_connect(session.req_header()) || session.is_body_done()
}

/// Read until nobody waits any more.
async fn read(
    session: &mut ServerSession,
    context: &mut Context,
    plugins: &mut Plugins,
) -> pingora::Result<Result<Held, Reply>> {
    plugins.on(Event::HoldRequest)?;
    ask_for_it(session).await?;
    let mut held = BytesMut::new();
    loop {
        let data = match is_over(session) {
            true => None,
            // As in Pingora's own loop: it is the client that is gone, or too slow.
            false => {
                let read = session.read_request_body().await;
                read.map_err(|error| error.into_down())?
            }
        };
        let end = data.is_none() || is_over(session);
        let data = data.unwrap_or_default();
        pass(data.len(), end, context)?;
        match feed(session, plugins, data, end).await? {
            Ok(data) => held.extend_from_slice(&data),
            Err(verdict) => {
                if let Some(reply) = plugins.settle(verdict) {
                    return Ok(Err(reply));
                }
            }
        }
        let waits = plugins.request_body.as_ref().is_some_and(|b| b.waits());
        if end || !waits {
            return Ok(Ok(Held {
                data: held.freeze(),
                whole: end,
            }));
        }
    }
}

/// A part of the body passes; with `end` it is the last.
///
/// # Errors
/// The body is longer than is allowed, or a plugin decided otherwise.
pub async fn run(
    session: &mut ServerSession,
    body: &mut Option<Bytes>,
    end: bool,
    context: &mut Context,
) -> pingora::Result<()> {
    // Before trailers the end comes without being called so.
    let end = end || body.is_none();
    let Some(shared) = context.plugins.clone() else {
        return pass(body.as_ref().map_or(0, Bytes::len), end, context);
    };
    let mut plugins = shared.lock().await;
    if std::mem::take(&mut plugins.primed) {
        return Ok(());
    }
    pass(body.as_ref().map_or(0, Bytes::len), end, context)?;
    let seen = plugins.request_body.as_ref();
    if seen.is_none_or(|body| body.is_open() || body.has_ended()) {
        return Ok(());
    }
    plugins.streamed = true;
    let data = body.take().unwrap_or_default();
    match feed(session, &mut plugins, data, end).await? {
        // Nothing is the end, to Pingora; an empty piece is none yet.
        Ok(data) if end && data.is_empty() => *body = None,
        Ok(data) => *body = Some(data),
        Err(verdict) => {
            let error = plugins.instead(verdict);
            context.instead = plugins.instead.take().map(Instead::Reply);
            return Err(error);
        }
    }
    Ok(())
}

async fn feed(
    session: &mut ServerSession,
    plugins: &mut Plugins,
    data: Bytes,
    end: bool,
) -> pingora::Result<Result<Bytes, Verdict>> {
    let Some(mut body) = plugins.request_body.take() else {
        return Ok(Ok(data));
    };
    plugins.lend(session.req_header_mut());
    let route = plugins.route.clone();
    let fed = {
        let Plugins {
            progress, exchange, ..
        } = &mut *plugins;
        let work = pin!(route.chain.feed(&mut body, progress, exchange, data, end));
        unless_gone(session, route.chain.waits(), work).await
    };
    plugins.give_back(session.req_header_mut());
    plugins.report(&Verdict::Proceed);
    plugins.request_body = Some(body);
    fed
}

/// Tell a client that waits to be told (RFC 9110 §10.1.1) to send its body; nobody else is told to wait for it.
pub(crate) async fn ask_for_it(session: &mut ServerSession) -> pingora::Result<()> {
    let head = session.req_header();
    let expect = head.headers.get(header::EXPECT);
    let expects =
        expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expects && head.version == Version::HTTP_11 {
        session.write_continue_response().await?;
        session.req_header_mut().remove_header(&header::EXPECT);
    }
    Ok(())
}

/// Count bytes of the body, wherever they are read.
pub(crate) fn pass(bytes: usize, end: bool, context: &mut Context) -> pingora::Result<()> {
    if let Some(clock) = &context.body_clock {
        clock.passed(end);
    }
    context.body_bytes += bytes as u64;
    check(context.body_bytes, context)
}

/// Refuse a body of so many bytes, if that is too many.
pub(crate) fn check(bytes: u64, context: &mut Context) -> pingora::Result<()> {
    let most = context.limits().body_bytes;
    if most != 0 && bytes > most {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        context.count_refused(Refusal::BodyBytes);
        return Err(super::failure::refuse(
            context,
            status,
            "request body too large",
        ));
    }
    Ok(())
}
