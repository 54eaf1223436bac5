//! The life of a request, of whichever version: through its phases, to a peer and back, into the log. What the trait
//! in the binary's `app.rs` says line by line, as far as it is not Pingora's.

use crate::context::Context;
use crate::http1::exchange;
use crate::phase::{accept, failure, log, request, upstream_peer};
use crate::serve::Server;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType};

/// What there is to be done with the client after that.
pub(crate) enum Next {
    /// Nothing: a connection of HTTP/1 ends, and a stream of HTTP/2 that is not whole is reset.
    Nothing,
    /// The response is whole: the next request.
    Request,
    /// The same request: its upstream speaks HTTP/2.
    Pingora,
}

/// Take a request through its phases.
pub(crate) async fn run<P>(
    server: &Server<P>,
    session: &mut ServerSession,
    context: &mut Context,
) -> Next {
    if server.stop.has_changed().unwrap_or(true) && !session.is_http2() {
        context.end_connection();
    }
    let journal = &server.journal;
    match in_time(session, context).await {
        Ok(Next::Pingora) => Next::Pingora,
        Ok(next) => {
            log::run(session, None, context, journal).await;
            next
        }
        Err(error) => {
            let sent = failure::run(session, &error, context).await;
            log::run(session, Some(&error), context, journal).await;
            match sent.can_reuse_downstream {
                true => Next::Request,
                false => Next::Nothing,
            }
        }
    }
}

/// The phases, unless the body of a request of HTTP/2 stays away for too long.
async fn in_time(session: &mut ServerSession, context: &mut Context) -> pingora::Result<Next> {
    let Some(clock) = context.body_clock.clone() else {
        return phases(session, context).await;
    };
    let patience = context.state.limits.read_timeout;
    tokio::select! {
        biased;
        done = phases(session, context) => done,
        () = clock.stalled(patience) => {
            let text = "the request's body did not come on";
            Err(Error::explain(ErrorType::ReadTimedout, text).into_down())
        }
    }
}

async fn phases(session: &mut ServerSession, context: &mut Context) -> pingora::Result<Next> {
    accept::run(session, context)?;
    if request::run(session, context).await? {
        return Ok(Next::Request);
    }
    upstream_peer::admit(session, context).await?;
    let upstream = context.upstream.group.as_ref();
    if upstream.is_some_and(|upstream| upstream.is_http2()) {
        return Ok(Next::Pingora);
    }
    exchange::run(session, context).await?;
    Ok(Next::Request)
}
