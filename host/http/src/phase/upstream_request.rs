//! Complete the head that goes to the upstream.

use crate::context::Context;
use crate::forward::Forward;
use crate::grpc_web;
use crate::own_fields::OwnFields;
use crate::plugins::{Plugins, unless_gone};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use std::pin::pin;
use tidegate_chain::{Event, Phase, Verdict};

/// Say for whom the request is. Runs once per attempt, each time on a fresh copy of the head.
///
/// # Errors
/// A value that is not one, which cannot come from checked facts.
pub async fn run(
    session: &mut ServerSession,
    head: &mut RequestHeader,
    context: &mut Context,
) -> pingora::Result<()> {
    own_fields(&head.headers, context).apply(head)?;
    translate(head, context)?;
    let Some(shared) = context.plugins.clone() else {
        return Ok(());
    };
    let mut plugins = shared.lock().await;
    run_plugins(session, head, &mut plugins).await?;
    frame(session, head, &plugins)
}

/// Plugins see and edit the copy that goes to this peer.
async fn run_plugins(
    session: &mut ServerSession,
    head: &mut RequestHeader,
    plugins: &mut Plugins,
) -> pingora::Result<()> {
    plugins.on(Event::Attempt)?;
    let route = plugins.route.clone();
    if !route.chain.exports(Phase::UpstreamRequest) {
        return Ok(());
    }
    plugins.lend(head);
    let verdict = {
        let Plugins {
            progress, exchange, ..
        } = &mut *plugins;
        let phase = Phase::UpstreamRequest;
        let work = pin!(route.chain.upstream(phase, progress, exchange));
        unless_gone(session, route.chain.waits(), work).await
    };
    plugins.give_back(head);
    match verdict? {
        Verdict::Proceed => {
            plugins.report(&Verdict::Proceed);
            Ok(())
        }
        verdict => Err(plugins.instead(verdict)),
    }
}

/// How long the body is after the plugins.
enum Length {
    /// As the client said.
    AsItWas,
    /// Nobody knows, or there is none.
    Unknown,
    Known(usize),
}

fn length(session: &mut ServerSession, plugins: &Plugins) -> Length {
    let Some(body) = &plugins.request_body else {
        return Length::AsItWas;
    };
    if !body.has_ended() {
        return Length::Unknown;
    }
    let length = match session.is_body_empty() {
        true => 0,
        false => session.get_retry_buffer().map_or(0, |all| all.len()),
    };
    let fields = &session.req_header().headers;
    let had = fields.contains_key(header::CONTENT_LENGTH)
        || fields.contains_key(header::TRANSFER_ENCODING);
    match had || length > 0 {
        true => Length::Known(length),
        false => Length::Unknown,
    }
}

/// Say how long the body is after the plugins; where nobody knows, it is sent in chunks.
fn frame(
    session: &mut ServerSession,
    head: &mut RequestHeader,
    plugins: &Plugins,
) -> pingora::Result<()> {
    let length = length(session, plugins);
    if let Length::AsItWas = length {
        return Ok(());
    }
    head.remove_header(&header::CONTENT_LENGTH);
    head.remove_header(&header::TRANSFER_ENCODING);
    match length {
        Length::Known(length) => head.insert_header(header::CONTENT_LENGTH, length),
        Length::AsItWas | Length::Unknown => Ok(()),
    }
}

/// Make gRPC of gRPC-Web, where the route does so.
fn translate(head: &mut RequestHeader, context: &mut Context) -> pingora::Result<()> {
    if !context.route.as_deref().is_some_and(|route| route.grpc_web) {
        return Ok(());
    }
    match grpc_web::Kind::of(&head.headers) {
        grpc_web::Kind::Other => Ok(()),
        grpc_web::Kind::Binary => {
            context.grpc_web = true;
            grpc_web::request(head)
        }
        grpc_web::Kind::Text => {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let reason = "gRPC-Web in text form is not translated";
            Err(super::failure::refuse(context, status, reason))
        }
    }
}

/// What the proxy says itself in the head that goes to a peer, whatever the client says: for whom the request is, in
/// the fields that the upstream wants.
pub(crate) fn own_fields(fields: &HeaderMap, context: &Context) -> OwnFields {
    let mut own = OwnFields::new();
    if let Some(upstream) = &context.upstream.group
        && !upstream.keeps_connections
    {
        // A peer that closes is not pooled.
        own.set(&header::CONNECTION, HeaderValue::from_static("close"));
    }
    if !fields.contains_key(header::HOST) {
        // HTTP/1.0 has no host; what we send is HTTP/1.1, which must (RFC 9112 §3.2).
        own.set(&header::HOST, HeaderValue::from_static(""));
    }
    let upstream = context.upstream.group.as_deref();
    for way in upstream.map_or(Forward::DEFAULT, |upstream| &*upstream.forward) {
        way.tell(fields, &mut own, context);
    }
    let connection = context.connection.as_deref();
    for (name, value) in connection.iter().flat_map(|c| &c.client_fields) {
        match value {
            Some(value) => own.set(name, value.clone()),
            None => own.remove(name),
        }
    }
    // Its letters are those of a field's value.
    if let Ok(id) = HeaderValue::from_str(&context.facts.request_id) {
        own.set(&REQUEST_ID, id);
    }
    own
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Whether nobody but the proxy itself changes the head on its way to a peer: it need not be copied then.
pub(crate) fn is_own(context: &Context) -> bool {
    let Some(route) = &context.route else {
        return false;
    };
    !route.grpc_web && !route.chain.exports(Phase::UpstreamRequest)
}

/// As [`run`], where [`is_own`] says that it can be had so.
pub(crate) async fn run_own(
    session: &mut ServerSession,
    context: &mut Context,
) -> pingora::Result<OwnFields> {
    let mut own = own_fields(&session.req_header().headers, context);
    if let Some(shared) = &context.plugins {
        let mut plugins = shared.lock().await;
        plugins.on(Event::Attempt)?;
        match length(session, &plugins) {
            Length::AsItWas => {}
            Length::Unknown => own.remove(&header::CONTENT_LENGTH),
            Length::Known(length) => own.set(&header::CONTENT_LENGTH, length.into()),
        }
    }
    Ok(own)
}
