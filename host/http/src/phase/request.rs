//! Find the route, run its plugins, and give the answers that need no upstream.

use super::{accept, challenge, failure, request_body};
use crate::abuse::Refusal;
use crate::context::Context;
use crate::plugins::{Plugins, unless_gone};
use crate::state::{Redirect, Route, Target};
use crate::tunnel::{Upgrade, is_extended_connect};
use crate::{echo, https_redirect, maintenance, respond, tunnel};
use futures_util::lock::Mutex;
use http::{StatusCode, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use tidegate_chain::{Exchange, Reply};

/// Whether the request was answered here.
///
/// # Errors
/// A request that is refused, or a client that is gone.
pub async fn run(session: &mut ServerSession, context: &mut Context) -> pingora::Result<bool> {
    if context.is_handed_over {
        return Ok(false);
    }
    let route = match find_route(session.req_header(), context) {
        ControlFlow::Continue(route) => route,
        ControlFlow::Break(reply) => {
            respond::send(session, context, reply).await?;
            return Ok(true);
        }
    };
    check_limits(session, context)?;
    if let Some(reply) = run_plugins(session, context).await? {
        respond::send(session, context, reply).await?;
        return Ok(true);
    }
    let upgrade = Upgrade::asked_for(session.req_header());
    let target = match (&route.target, upgrade) {
        (Target::Upstream(_), Some(upgrade)) => {
            Box::pin(tunnel::run(session, context, upgrade)).await?;
            return Ok(true);
        }
        _ if is_extended_connect(session.req_header()) => {
            context.count_refused(Refusal::Method);
            let reason = "this route has no WebSockets";
            return Err(failure::refuse(
                context,
                StatusCode::NOT_IMPLEMENTED,
                reason,
            ));
        }
        (target, _) => target,
    };
    // What is not carried as a tunnel is an ordinary request, to whoever reads it next.
    session.req_header_mut().remove_header(&header::UPGRADE);
    let reply = match target {
        Target::Upstream(_) => return Ok(false),
        Target::Respond(reply) => reply.clone(),
        Target::Echo => Box::pin(echo::reply(session, context)).await?,
        Target::Redirect(redirect) => redirect.reply(),
    };
    respond::send(session, context, reply).await?;
    Ok(true)
}

/// The route, or what is answered to a request that gets no further: it is a challenge, came to the wrong listener, there is no
/// route for it, or its route is in maintenance.
fn find_route(head: &RequestHeader, context: &mut Context) -> ControlFlow<Reply, Arc<Route>> {
    if let Some(reply) = challenge::reply(head, context) {
        return ControlFlow::Break(reply);
    }
    if let Some(reply) = https_redirect::reply(head, context) {
        return ControlFlow::Break(reply);
    }
    let request = tidegate_route::Request {
        host: &context.facts.host,
        path: head.uri.path(),
        query: head.uri.query(),
        method: &head.method,
        headers: &head.headers,
        listener: context.listener().and_then(|listener| listener.index),
    };
    if let Some(route) = context.state.routes.lookup(&request).cloned() {
        context.facts_mut().route = route.name.clone();
        context.route = Some(route);
    }
    if let Some(reply) = maintenance::reply(context) {
        context.problem = Some("maintenance".to_owned());
        context.count_refused(Refusal::Maintenance);
        return ControlFlow::Break(reply);
    }
    match &context.route {
        Some(route) => ControlFlow::Continue(route.clone()),
        None => {
            let pages = context.error_pages();
            let reply = pages.reply(StatusCode::NOT_FOUND, "no route for this request");
            ControlFlow::Break(reply)
        }
    }
}

/// Run the request phase of the route's chain, and read as much of the body as plugins want to see before
/// the head goes on.
async fn run_plugins(
    session: &mut ServerSession,
    context: &mut Context,
) -> pingora::Result<Option<Reply>> {
    let Some(route) = context.route.clone() else {
        return Ok(None);
    };
    let head = session.req_header();
    let Some(progress) = route.chain.begin(&head.method, &head.uri, &head.headers) else {
        return Ok(None);
    };
    let limits = context.limits().head;
    let mut exchange = Exchange::new(respond::unlent(), context.facts.clone(), limits);
    exchange.upstreams.groups = context.state.groups.clone();
    if let Target::Upstream(upstream) = &route.target {
        exchange.upstreams.route = Some(upstream.name.clone());
    }
    let shared = Arc::new(Mutex::new(Plugins::new(route.clone(), exchange, progress)));
    context.plugins = Some(shared.clone());
    let mut plugins = shared.lock().await;
    plugins.lend(session.req_header_mut());
    let verdict = {
        let Plugins {
            progress, exchange, ..
        } = &mut *plugins;
        let work = pin!(route.chain.request(progress, exchange));
        unless_gone(session, route.chain.waits(), work).await
    };
    plugins.give_back(session.req_header_mut());
    if let Some(reply) = plugins.settle(verdict?) {
        return Ok(Some(reply));
    }
    if !route.chain.wants_more(&plugins.progress) {
        return Ok(None);
    }
    drop(plugins);
    request_body::hold(session, context, &shared).await
}

/// Refuse what is larger than the route allows, also a body that says itself that it is too long, before
/// anything is done for it.
fn check_limits(session: &ServerSession, context: &mut Context) -> pingora::Result<()> {
    let checked = accept::check_size(session.req_header(), context.limits());
    checked.map_err(|refused| refused.end(context))?;
    let length = session.req_header().headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    request_body::check(length.unwrap_or(0), context)
}

impl Redirect {
    fn reply(&self) -> Reply {
        let text = format!("{} see location\n", self.status.as_u16());
        let mut reply = Reply::text(self.status, text);
        reply.headers.insert(header::LOCATION, self.to.clone());
        reply
    }
}
