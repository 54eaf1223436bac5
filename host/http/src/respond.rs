//! Sends a response that the proxy makes itself, after the plugins that are still to see it.

use crate::context::{Context, Plugins, empty_request};
use crate::head::{Request, Response};
use crate::throttle::Throttle;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use std::any::Any;
use std::mem;
use tidegate_chain::{Reply, Verdict};

/// Send a reply; plugins that the request passed see its head first and may replace it.
pub(crate) async fn send(
    session: &mut Session,
    context: &mut Context,
    mut reply: Reply,
) -> pingora::Result<()> {
    let head = loop {
        let mut head = head(&reply)?;
        match run_plugins(session, context, &mut head).await {
            None => break head,
            Some(other) => reply = other,
        }
    };
    write(session, head, reply.body).await
}

/// Run the response phase on a head. A reply replaces it; the plugins that have not had their turn
/// are still to see that.
pub(crate) async fn run_plugins(
    session: &mut Session,
    context: &mut Context,
    head: &mut ResponseHeader,
) -> Option<Reply> {
    let route = context.route.as_deref()?;
    let plugins = context.plugins.as_mut()?;
    let lent = lend(session, plugins);
    let plugins = &mut *lent.plugins;
    let status = head.status;
    let moved = mem::replace(head, empty_response(status));
    plugins.exchange.response = Some(Box::new(Response(moved)));
    let verdict = route
        .chain
        .response(&mut plugins.progress, &mut plugins.exchange)
        .await;
    if let Some(response) = plugins.exchange.response.take() {
        let response: Box<dyn Any> = response;
        if let Ok(response) = response.downcast::<Response>() {
            *head = response.0;
        }
    }
    drop(lent);
    report(&verdict, context);
    verdict.reply()
}

/// The request head, in the exchange while plugins run; it goes back when this is dropped, also when
/// a request is given up in the middle of a call.
pub(crate) struct Lent<'a> {
    session: &'a mut Session,
    pub(crate) plugins: &'a mut Plugins,
}

/// Move the request head from Pingora's session to the exchange.
pub(crate) fn lend<'a>(session: &'a mut Session, plugins: &'a mut Plugins) -> Lent<'a> {
    swap(session, plugins);
    Lent { session, plugins }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        swap(self.session, self.plugins);
    }
}

fn swap(session: &mut Session, plugins: &mut Plugins) {
    let request: &mut dyn Any = &mut *plugins.exchange.request;
    if let Some(request) = request.downcast_mut::<Request>() {
        mem::swap(session.req_header_mut(), &mut request.0);
    }
}

/// An exchange's request head before the first [`lend`].
pub(crate) fn unlent() -> Box<Request> {
    Box::new(Request(empty_request()))
}

/// A plugin that fails with every request does not fill the log.
static FAILURES: Throttle = Throttle::new();

/// Say in the log which plugins failed since the last call, and what that means for the request.
pub(crate) fn report(verdict: &Verdict, context: &mut Context) {
    if let Verdict::Refuse { plugin, failure } = verdict {
        context.problem = Some(format!("plugin {plugin}: {}", failure.kind.name()));
    }
    let Some(plugins) = &mut context.plugins else {
        return;
    };
    let facts = &plugins.exchange.facts;
    for note in &mut plugins.exchange.notes {
        let Some(message) = note.message.take() else {
            continue;
        };
        let Some(left_out) = FAILURES.pass() else {
            continue;
        };
        let refuses = matches!(verdict, Verdict::Refuse { plugin, .. } if *plugin == note.plugin);
        tracing::warn!(
            plugin = &*note.plugin,
            phase = note.phase.name(),
            kind = note.what,
            route = &*facts.route,
            request = &*facts.request_id,
            left_out = (left_out > 0).then_some(left_out),
            "plugin failed, {}: {message}",
            if refuses {
                "answering 503"
            } else {
                "going on without it"
            },
        );
    }
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

async fn write(session: &mut Session, head: ResponseHeader, body: Bytes) -> pingora::Result<()> {
    let no_body =
        session.req_header().method == Method::HEAD || is_bodiless(head.status) || body.is_empty();
    session
        .write_response_header(Box::new(head), no_body)
        .await?;
    if !no_body {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn empty_response(status: StatusCode) -> ResponseHeader {
    let mut parts = http::Response::new(()).into_parts().0;
    parts.status = status;
    ResponseHeader::from(parts)
}
