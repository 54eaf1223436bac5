//! Connections of HTTP/1, and the exchange with an upstream that speaks HTTP/1.1.
//!
//! Here the data path is ours: Pingora's loop moves futures of tens of kilobytes for each request, and joins two tasks
//! by channels. Its session is what the client is spoken with, the phases are the same, and it has the exchanges that
//! are not of this kind: those of HTTP/2, on either side.
//!
//! 1. [`serve`] reads one request after another, and takes each through the phases.
//! 2. [`exchange`] asks the peers: a head and its body to one of them, the response to the client.
//! 3. [`connection`] is what a peer is spoken with on, [`pool`] keeps it for the next request.
//! 4. [`head`] and [`body`] are what stands on the wire, without sockets and clocks.

mod body;
mod connection;
mod deadline;
mod exchange;
mod head;
mod pool;

pub use pool::Pools;
pub(crate) use pool::{Likeness, Pool};

use crate::context::{self, Connection, Context};
use crate::interpose::Interposed;
use crate::io::Io;
use crate::phase::{accept, failure, log, request, upstream_peer};
use crate::serve::Server;
use crate::state::Limits;
use deadline::Deadline;
use pingora::ErrorType;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::proxy::ProxyHttp;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Serve requests until the client, the proxy or one of them wants it to end.
pub(crate) async fn serve<P>(
    server: &Server<P>,
    io: Io,
    connection: &Arc<Connection>,
    limits: &Limits,
) where
    P: ProxyHttp<CTX = Context> + Send + Sync + 'static,
{
    let mut stop = server.stop.clone();
    let mut stopped = pin!(stop.wait_for(|stop| *stop));
    let mut idle = Deadline::default();
    let mut wait = limits.idle_timeout;
    let mut next = Some((Box::new(io), Reuse::first(limits)));
    while let Some((mut io, reuse)) = next {
        let begun = poll_fn(|cx| match io.poll_begin(cx) {
            Poll::Pending => idle.poll(cx, wait).map(|()| false),
            ready => ready,
        });
        let begun = tokio::select! {
            biased;
            begun = begun => begun,
            // Between requests there is nothing to finish.
            _ = &mut stopped => false,
        };
        if !begun {
            return;
        }
        idle.clear();
        // Boxed, for a connection that waits does not need the room that requests take.
        let stopped = stopped.as_mut();
        let served = Box::pin(message(server, io, reuse, connection, &mut wait, stopped));
        next = served.await;
    }
}

/// What is known of a connection from one request to the next.
enum Reuse {
    /// So many may follow the first.
    First(u32),
    Again(Option<HttpPersistentSettings>),
}

impl Reuse {
    fn first(limits: &Limits) -> Reuse {
        Reuse::First(limits.requests_per_connection.saturating_sub(1))
    }

    fn apply(self, session: &mut ServerSession) {
        match self {
            Reuse::First(more) => {
                session.set_keepalive(Some(FIRST_HEAD_SECONDS));
                session.set_keepalive_reuses_remaining(Some(more));
            }
            Reuse::Again(Some(settings)) => settings.apply_to_session(session),
            Reuse::Again(None) => {}
        }
    }
}

/// Pingora's session waits so long for the rest of the first head; [`Io`] for less.
const FIRST_HEAD_SECONDS: u64 = 60;

/// Serve a request, of which some has come; the connection, if it can be used again.
async fn message<P>(
    server: &Server<P>,
    io: Box<Io>,
    reuse: Reuse,
    connection: &Arc<Connection>,
    wait: &mut Duration,
    stopped: Pin<&mut impl Future>,
) -> Option<(Box<Io>, Reuse)>
where
    P: ProxyHttp<CTX = Context> + Send + Sync + 'static,
{
    let mut session = ServerSession::new_http1(io);
    reuse.apply(&mut session);
    let read = tokio::select! {
        biased;
        read = session.read_request() => read,
        // Not all of it has come: it is for nobody.
        _ = stopped => return None,
    };
    match read {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => {
            if *error.etype() == ErrorType::InvalidHTTPHeader {
                // A client that is gone does not read it.
                let _ = session.respond_error(400).await;
            }
            session.shutdown().await;
            return None;
        }
    }
    let mut context = Context::new(&server.state, Some(connection.clone()), None);
    *wait = context.state.limits.idle_timeout;
    let reused = match request(server, &mut session, &mut context).await {
        // Within a response, perhaps: then the client sees that it broke off.
        Next::Nothing => return None,
        Next::Request => finish(session).await,
        Next::Pingora => Box::pin(hand_over(server, session, context)).await,
    };
    // Now that the rest of its body is read as well, the next head may come.
    connection.clock.request_is_done();
    let (stream, settings) = reused?.consume();
    let io = stream.into_any().downcast().ok()?;
    Some((io, Reuse::Again(settings)))
}

/// What a connection goes on with after a request.
enum Next {
    /// It ends.
    Nothing,
    /// The next request.
    Request,
    /// The same request: its upstream speaks HTTP/2.
    Pingora,
}

/// Take a request through its phases.
async fn request<P>(
    server: &Server<P>,
    session: &mut ServerSession,
    context: &mut Context,
) -> Next {
    if server.stop.has_changed().unwrap_or(true) {
        session.set_keepalive(None);
    }
    let journal = &server.journal;
    match phases(session, context).await {
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

/// The connection, if it can be used again.
async fn finish(session: ServerSession) -> Option<ReusedHttpStream> {
    let settings = HttpPersistentSettings::for_session(&session);
    let stream = session.finish().await.ok().flatten()?;
    Some(ReusedHttpStream::from_reusable_stream(stream, settings))
}

/// The life of a request; what the trait in the binary's `app.rs` says line by line, as far as it is not Pingora's.
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

/// Let Pingora go on with a request that has its upstream.
async fn hand_over<P>(
    server: &Server<P>,
    mut session: ServerSession,
    mut context: Context,
) -> Option<ReusedHttpStream>
where
    P: ProxyHttp<CTX = Context> + Send + Sync + 'static,
{
    // One whose head was not read by Pingora.
    if context.interposed.is_none() {
        Interposed::put(&mut session, &mut context, None);
    }
    context::hand_over(
        context,
        server.proxy.process_new_http(session, &server.stop),
    )
    .await
}
