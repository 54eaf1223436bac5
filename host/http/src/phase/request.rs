//! Find the route, run its plugins, and give the answers that need no upstream.

use super::{failure, request_body};
use crate::context::{Context, Instead};
use crate::plugins::{Plugins, unless_gone};
use crate::state::Target;
use crate::tunnel::{Upgrade, is_extended_connect};
use crate::{echo, respond, tunnel};
use http::{StatusCode, header};
use pingora::proxy::Session;
use std::sync::Arc;
use tidegate_chain::{Exchange, Reply};
use tokio::sync::Mutex;

/// Whether the request was answered here.
///
/// # Errors
/// A request that is refused, or a client that is gone.
pub async fn run(session: &mut Session, context: &mut Context) -> pingora::Result<bool> {
    let head = session.req_header();
    let request = tidegate_route::Request {
        host: &context.facts.host,
        path: head.uri.path(),
        query: head.uri.query(),
        method: &head.method,
        headers: &head.headers,
    };
    let Some(route) = context.state.routes.lookup(&request).cloned() else {
        let reply = status(StatusCode::NOT_FOUND, "no route for this request");
        respond::send(session, context, reply).await?;
        return Ok(true);
    };
    context.facts_mut().route = route.name.clone();
    context.route = Some(route.clone());
    check_length(session, context)?;
    if let Some(reply) = run_plugins(session, context).await? {
        respond::send(session, context, reply).await?;
        return Ok(true);
    }
    let upgrade = Upgrade::asked_for(session.req_header());
    let target = match (&route.target, upgrade) {
        (Target::Upstream(_), Some(upgrade)) => {
            tunnel::run(session, context, upgrade).await?;
            return Ok(true);
        }
        _ if is_extended_connect(session.req_header()) => {
            let reason = "this route has no WebSockets";
            return Err(failure::refuse(context, StatusCode::NOT_IMPLEMENTED, reason));
        }
        (target, _) => target,
    };
    // What is not carried as a tunnel is an ordinary request, to whoever reads it next.
    session.req_header_mut().remove_header(&header::UPGRADE);
    let reply = match target {
        Target::Upstream(_) => return Ok(false),
        Target::Respond(reply) => reply.clone(),
        Target::Echo => echo::reply(session, context).await?,
        Target::Redirect(redirect) => {
            let mut reply = status(redirect.status, "see location");
            let to = redirect.to.clone();
            reply.headers.insert(header::LOCATION, to);
            reply
        }
    };
    respond::send(session, context, reply).await?;
    Ok(true)
}

/// Run the request phase of the route's chain, and read as much of the body as plugins want to see before
/// the head goes on.
async fn run_plugins(
    session: &mut Session,
    context: &mut Context,
) -> pingora::Result<Option<Reply>> {
    let Some(route) = context
        .route
        .clone()
        .filter(|route| !route.chain.is_empty())
    else {
        return Ok(None);
    };
    let limits = context.state.limits.head;
    let mut exchange = Exchange::new(respond::unlent(), context.facts.clone(), limits);
    exchange.upstreams.groups = context.state.groups.clone();
    if let Target::Upstream(upstream) = &route.target {
        exchange.upstreams.route = Some(upstream.name.clone());
    }
    let shared = Arc::new(Mutex::new(Plugins::new(route.clone(), exchange)));
    context.plugins = Some(shared.clone());
    let mut plugins = shared.lock().await;
    plugins.lend(session.req_header_mut());
    let verdict = {
        let Plugins {
            progress, exchange, ..
        } = &mut *plugins;
        let work = route.chain.request(progress, exchange);
        unless_gone(session, route.chain.waits(), work).await
    };
    plugins.give_back(session.req_header_mut());
    if let Some(reply) = plugins.settle(verdict?) {
        return Ok(Some(reply));
    }
    drop(plugins);
    request_body::hold(session, context, &shared).await
}

/// Refuse a body that says itself that it is too long, before anything is done for it.
fn check_length(session: &Session, context: &mut Context) -> pingora::Result<()> {
    let length = session.req_header().headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    super::request_body::check(length.unwrap_or(0), context)
}

/// A status with a line of text.
pub(crate) fn status(status: StatusCode, reason: &str) -> Reply {
    Reply::text(status, format!("{} {reason}\n", status.as_u16()))
}

impl Instead {
    /// The reply that it stands for.
    pub(crate) fn reply(self) -> Reply {
        match self {
            Instead::Reply(reply) => reply,
            Instead::Status(code) => {
                let reason = code.canonical_reason().unwrap_or("error");
                status(code, &reason.to_ascii_lowercase())
            }
        }
    }
}
