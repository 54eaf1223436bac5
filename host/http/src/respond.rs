//! Sends a response that the proxy makes itself, after the plugins that are still to see it.

use crate::context::{Context, empty_request};
use crate::head::Request;
use crate::hsts;
use crate::interpose::has_body;
use crate::plugins::{Plugins, internal, unless_gone};
use crate::tunnel::is_extended_connect;
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use std::mem;
use std::ops::ControlFlow;
use std::pin::pin;
use tidegate_chain::{Event, Reply, Verdict};

/// Send a reply; plugins that the request passed see its head and its body first, and may replace it.
pub(crate) async fn send(
    session: &mut ServerSession,
    context: &mut Context,
    reply: Reply,
) -> pingora::Result<()> {
    // Boxed, for a connection has room for it from its beginning to its end.
    Box::pin(send_one_of(session, context, reply)).await
}

async fn send_one_of(
    session: &mut ServerSession,
    context: &mut Context,
    mut reply: Reply,
) -> pingora::Result<()> {
    loop {
        if reply.status.is_success() && is_extended_connect(session.req_header()) {
            // It would say that the tunnel is open.
            let pages = context.error_pages();
            reply = pages.reply(StatusCode::NOT_IMPLEMENTED, "no tunnel");
        }
        let mut head = head(&reply)?;
        hsts::add(&mut head, context)?;
        if let Some(other) = run_plugins(session, context, &mut head).await? {
            reply = other;
            continue;
        }
        let Some(shared) = context.plugins.clone() else {
            return write(session, head, reply.body).await;
        };
        let mut plugins = shared.lock().await;
        let flow = match reply.pieces {
            Some(place) => send_pieces(session, &mut plugins, head, place).await?,
            None => send_whole(session, &mut plugins, head, reply.body).await?,
        };
        match flow {
            ControlFlow::Break(()) => return Ok(()),
            ControlFlow::Continue(other) => reply = other,
        }
    }
}

/// Run the response phase on a head, and find out who wants to see the body. A reply replaces the head; the
/// plugins that have not had their turn are still to see that.
pub(crate) async fn run_plugins(
    session: &mut ServerSession,
    context: &mut Context,
    head: &mut ResponseHeader,
) -> pingora::Result<Option<Reply>> {
    let Some(shared) = context.plugins.clone() else {
        return Ok(None);
    };
    let mut plugins = shared.lock().await;
    plugins.on(Event::Respond)?;
    let status = head.status;
    plugins.put_response(mem::replace(head, empty_response(status)));
    plugins.lend(session.req_header_mut());
    let route = plugins.route.clone();
    let verdict = {
        let Plugins {
            progress, exchange, ..
        } = &mut *plugins;
        let work = pin!(route.chain.response(progress, exchange));
        unless_gone(session, route.chain.waits(), work).await
    };
    plugins.give_back(session.req_header_mut());
    if let Some(response) = plugins.take_response() {
        *head = response;
    }
    if let Some(reply) = plugins.settle(verdict?) {
        return Ok(Some(reply));
    }
    let body = route
        .chain
        .response_body(&plugins.progress, &context.state.held);
    if !has_body(&session.req_header().method, head.status) {
        if body.is_some() {
            // What it would be after the plugins, nobody knows.
            head.remove_header(&header::CONTENT_LENGTH);
        }
        return Ok(None);
    }
    if body.is_some() {
        frame(head, session.req_header().version, None)?;
    }
    plugins.response_body = body;
    Ok(None)
}

type Sent = pingora::Result<ControlFlow<(), Reply>>;

/// Send a body that is there; another reply, where a plugin that saw it wants that.
async fn send_whole(
    session: &mut ServerSession,
    plugins: &mut Plugins,
    mut head: ResponseHeader,
    mut data: Bytes,
) -> Sent {
    if plugins.response_body.is_some() {
        plugins.on(Event::HoldResponse)?;
        plugins.put_response(head);
        let fed = feed(session, plugins, data, true).await?;
        head = plugins
            .take_response()
            .unwrap_or_else(|| empty_response(StatusCode::OK));
        match fed {
            Ok(fed) => data = fed,
            Err(verdict) => return Ok(again(plugins, verdict)),
        }
        frame(&mut head, session.req_header().version, Some(data.len()))?;
    }
    plugins.on(Event::Begin)?;
    write(session, head, data).await?;
    Ok(ControlFlow::Break(()))
}

/// Send a body that a plugin gives in pieces.
async fn send_pieces(
    session: &mut ServerSession,
    plugins: &mut Plugins,
    mut head: ResponseHeader,
    place: usize,
) -> Sent {
    frame(&mut head, session.req_header().version, None)?;
    if !has_body(&session.req_header().method, head.status) {
        plugins.on(Event::Begin)?;
        write(session, head, Bytes::new()).await?;
        return Ok(ControlFlow::Break(()));
    }
    plugins.on(Event::HoldResponse)?;
    let mut held = Some((head, BytesMut::new()));
    let mut empty = 0;
    loop {
        // A plugin that never waits gets no further than anybody else on this worker.
        tokio::task::yield_now().await;
        let piece = match next_piece(session, plugins, place).await? {
            Some(piece) => piece,
            None if held.is_some() => {
                let pages = &plugins.route.error_pages;
                let reply = pages.of_status(StatusCode::SERVICE_UNAVAILABLE);
                return Ok(ControlFlow::Continue(reply));
            }
            None => return Err(internal("a plugin did not go on with its reply")),
        };
        let end = piece.is_none();
        let mut data = piece.unwrap_or_default();
        empty = if data.is_empty() { empty + 1 } else { 0 };
        if empty > EMPTY_PIECES_MAX {
            plugins.problem = Some("a reply's body does not come on".to_owned());
            return Err(internal("a plugin gave too many empty pieces"));
        }
        if plugins.response_body.is_some() {
            if let Some((head, _)) = &mut held {
                let head = mem::replace(head, empty_response(StatusCode::OK));
                plugins.put_response(head);
            }
            let fed = feed(session, plugins, data, end).await?;
            if let Some((slot, _)) = &mut held
                && let Some(head) = plugins.take_response()
            {
                *slot = head;
            }
            data = match fed {
                Ok(data) => data,
                Err(verdict) if held.is_some() => return Ok(again(plugins, verdict)),
                Err(verdict) => return Err(plugins.instead(verdict)),
            };
        }
        let waits = plugins.response_body.as_ref().is_some_and(|b| b.waits());
        if let Some((head, mut before)) = held.take() {
            before.extend_from_slice(&data);
            if waits {
                held = Some((head, before));
                continue;
            }
            plugins.on(Event::Begin)?;
            plugins.put_response(head.clone());
            session.write_response_header(Box::new(head)).await?;
            data = before.freeze();
        }
        if end || !data.is_empty() {
            session.write_response_body(data, end).await?;
        }
        if end {
            return Ok(ControlFlow::Break(()));
        }
    }
}

/// Pieces without data that a plugin may give in a row.
const EMPTY_PIECES_MAX: u32 = 64;

/// The next piece, if the plugin does not fail; `None` in it is the end.
async fn next_piece(
    session: &mut ServerSession,
    plugins: &mut Plugins,
    place: usize,
) -> pingora::Result<Option<Option<Bytes>>> {
    plugins.lend(session.req_header_mut());
    let route = plugins.route.clone();
    let piece = {
        let Plugins {
            progress, exchange, ..
        } = &mut *plugins;
        let work = pin!(route.chain.piece(place, progress, exchange));
        unless_gone(session, route.chain.waits(), work).await
    };
    plugins.give_back(session.req_header_mut());
    Ok(match piece? {
        Ok(piece) => Some(piece),
        Err(failure) => {
            plugins.problem = Some(format!("reply body: {}", failure.kind.name()));
            plugins.report(&Verdict::Proceed);
            None
        }
    })
}

/// Data of our own body goes through the plugins.
async fn feed(
    session: &mut ServerSession,
    plugins: &mut Plugins,
    data: Bytes,
    end: bool,
) -> pingora::Result<Result<Bytes, Verdict>> {
    let Some(mut body) = plugins.response_body.take() else {
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
    plugins.response_body = Some(body);
    fed
}

fn again(plugins: &mut Plugins, verdict: Verdict) -> ControlFlow<(), Reply> {
    plugins.response_body = None;
    match plugins.settle(verdict) {
        Some(reply) => ControlFlow::Continue(reply),
        None => ControlFlow::Break(()),
    }
}

/// Say in a head how long the body is, or, where nobody knows, that it comes in chunks. To HTTP/1.0 it then
/// ends with the connection (RFC 9112 §6.3).
pub(crate) fn frame(
    head: &mut ResponseHeader,
    version: Version,
    length: Option<usize>,
) -> pingora::Result<()> {
    head.remove_header(&header::CONTENT_LENGTH);
    head.remove_header(&header::TRANSFER_ENCODING);
    match length {
        Some(length) => head.insert_header(header::CONTENT_LENGTH, length),
        None if version == Version::HTTP_11 => {
            head.insert_header(header::TRANSFER_ENCODING, "chunked")
        }
        None => Ok(()),
    }
}

/// An exchange's request head before it is lent.
pub(crate) fn unlent() -> Box<Request> {
    Box::new(Request(empty_request()))
}

fn head(reply: &Reply) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 1))?;
    for (name, value) in &reply.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    if !is_bodiless(reply.status) {
        head.insert_header(header::CONTENT_LENGTH, reply.body.len())?;
    }
    Ok(head)
}

pub(crate) async fn write(
    session: &mut ServerSession,
    head: ResponseHeader,
    body: Bytes,
) -> pingora::Result<()> {
    let no_body =
        session.req_header().method == Method::HEAD || is_bodiless(head.status) || body.is_empty();
    session.write_response_header(Box::new(head)).await?;
    if !no_body {
        session.write_response_body(body, true).await?;
    } else if session.is_http2() {
        // Dropped without an end, the stream would be reset.
        session.finish_body().await?;
    }
    Ok(())
}

pub(crate) fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

pub(crate) fn empty_response(status: StatusCode) -> ResponseHeader {
    let mut parts = http::Response::new(()).into_parts().0;
    parts.status = status;
    ResponseHeader::from(parts)
}
