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

pub(crate) use pool::Pool;

use crate::context::{self, Connection, Context};
use crate::interpose::Interposed;
use crate::io::Io;
use crate::phase::{accept, failure, log, request, upstream_peer};
use crate::serve::Server;
use pingora::ErrorType;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::proxy::ProxyHttp;
use std::pin::pin;
use std::sync::Arc;

/// Pingora's session waits so long for the first head; [`Io`] for less.
const FIRST_HEAD_SECONDS: u64 = 60;

/// Serve requests until the client, the proxy or one of them wants it to end.
pub(crate) async fn serve<P>(
    server: &Server<P>,
    io: Io,
    connection: &Arc<Connection>,
    requests: u32,
) where
    P: ProxyHttp<CTX = Context> + Send + Sync + 'static,
{
    let mut session = ServerSession::new_http1(Box::new(io));
    session.set_keepalive(Some(FIRST_HEAD_SECONDS));
    session.set_keepalive_reuses_remaining(Some(requests.saturating_sub(1)));
    let mut stop = server.stop.clone();
    let mut stopped = pin!(stop.wait_for(|stop| *stop));
    loop {
        let read = tokio::select! {
            biased;
            read = session.read_request() => read,
            // Nothing of a request has come, or not all of it: it is for nobody.
            _ = &mut stopped => return,
        };
        match read {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                if *error.etype() == ErrorType::InvalidHTTPHeader {
                    // A client that is gone does not read it.
                    let _ = session.respond_error(400).await;
                }
                session.shutdown().await;
                return;
            }
        }
        let served = request(server, session, connection).await;
        // Now that the rest of its body is read as well, the next head may come.
        connection.clock.request_is_done();
        let Some((stream, settings)) = served.map(ReusedHttpStream::consume) else {
            return;
        };
        session = ServerSession::new_http1(stream);
        if let Some(settings) = settings {
            settings.apply_to_session(&mut session);
        }
    }
}

/// What has become of a request.
enum Outcome {
    Answered,
    /// Its upstream speaks HTTP/2.
    ForPingora,
}

/// Take a request through its phases; what the connection is used on with, if it is.
async fn request<P>(
    server: &Server<P>,
    mut session: ServerSession,
    connection: &Arc<Connection>,
) -> Option<ReusedHttpStream>
where
    P: ProxyHttp<CTX = Context> + Send + Sync + 'static,
{
    if server.stop.has_changed().unwrap_or(true) {
        session.set_keepalive(None);
    }
    let mut context = Context::new(&server.state, Some(connection.clone()), None);
    let journal = &server.journal;
    match phases(&mut session, &mut context).await {
        Ok(Outcome::Answered) => log::run(&mut session, None, &mut context, journal).await,
        Ok(Outcome::ForPingora) => return hand_over(server, session, context).await,
        Err(error) => {
            let sent = failure::run(&mut session, &error, &mut context).await;
            log::run(&mut session, Some(&error), &mut context, journal).await;
            if !sent.can_reuse_downstream {
                return None;
            }
        }
    }
    let settings = HttpPersistentSettings::for_session(&session);
    let stream = session.finish().await.ok().flatten()?;
    Some(ReusedHttpStream::from_reusable_stream(stream, settings))
}

/// The life of a request; what the trait in the binary's `app.rs` says line by line, as far as it is not Pingora's.
async fn phases(session: &mut ServerSession, context: &mut Context) -> pingora::Result<Outcome> {
    accept::run(session, context)?;
    if request::run(session, context).await? {
        return Ok(Outcome::Answered);
    }
    upstream_peer::admit(session, context).await?;
    let upstream = context.upstream.group.as_ref();
    if upstream.is_some_and(|upstream| upstream.is_http2()) {
        return Ok(Outcome::ForPingora);
    }
    exchange::run(session, context).await?;
    Ok(Outcome::Answered)
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
