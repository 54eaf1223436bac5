//! Complete the head that goes to the upstream.

use crate::context::Context;
use crate::forward::Forward;
use crate::grpc_web;
use crate::plugins::{Plugins, unless_gone};
use crate::upstream::Upstream;
use http::{StatusCode, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
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
    let upstream = context.upstream.group.as_deref();
    let turn = context.upstream.turn;
    let is_kept = |upstream: &Upstream| {
        let peer = upstream.peer(turn);
        upstream.keeps_connections && peer.is_none_or(|peer| peer.can_be_kept())
    };
    if upstream.is_some_and(|upstream| !is_kept(upstream)) {
        // A peer that closes is not pooled.
        head.insert_header(header::CONNECTION, "close")?;
    }
    complete(head, context)?;
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
        let work = route.chain.upstream(phase, progress, exchange);
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

/// Say how long the body is after the plugins; where nobody knows, Pingora sends it in chunks.
fn frame(
    session: &mut ServerSession,
    head: &mut RequestHeader,
    plugins: &Plugins,
) -> pingora::Result<()> {
    let Some(body) = &plugins.request_body else {
        return Ok(());
    };
    let had = head.remove_header(&header::CONTENT_LENGTH).is_some()
        | head.remove_header(&header::TRANSFER_ENCODING).is_some();
    if !body.has_ended() {
        return Ok(());
    }
    let length = match session.is_body_empty() {
        true => 0,
        false => session.get_retry_buffer().map_or(0, |all| all.len()),
    };
    if had || length > 0 {
        head.insert_header(header::CONTENT_LENGTH, length)?;
    }
    Ok(())
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

/// Say for whom the request is, in the fields that the upstream wants.
pub(crate) fn complete(head: &mut RequestHeader, context: &Context) -> pingora::Result<()> {
    if !head.headers.contains_key(header::HOST) {
        // HTTP/1.0 has no host; what we send is HTTP/1.1, which must (RFC 9112 §3.2).
        head.insert_header(header::HOST, "")?;
    }
    let upstream = context.upstream.group.as_deref();
    let wanted = upstream.map_or(Forward::DEFAULT, |upstream| &*upstream.forward);
    for fields in wanted {
        fields.tell(head, context)?;
    }
    let connection = context.connection.as_deref();
    for (name, value) in connection.iter().flat_map(|c| &c.client_fields) {
        match value {
            Some(value) => head.insert_header(name, value)?,
            None => drop(head.remove_header(name)),
        }
    }
    head.insert_header("x-request-id", &*context.facts.request_id)
}
