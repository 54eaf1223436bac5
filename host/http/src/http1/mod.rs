//! Clients of HTTP/1, and the exchange with an upstream that speaks HTTP/1.1.
//!
//! Here the data path is ours: Pingora's loop moves futures of tens of kilobytes for each request, and joins two tasks
//! by channels. The phases are the same, and it has the exchanges with upstreams that speak HTTP/2.
//!
//! 1. [`serve`] reads one request after another, and takes each through the phases.
//! 2. [`client`] is whom a request comes from and its response goes to, [`session`] shows it to phases and to Pingora;
//!    [`again`] keeps the beginning of its body for another peer.
//! 3. [`exchange`] asks the peers: a head and its body to one of them, the response to the client.
//! 4. [`connection`] is what a peer is spoken with on, [`pool`] keeps it for the next request.
//! 5. [`client_head`], [`head`], [`spelling`] and [`body`] are what stands on the wire, without sockets and clocks.

mod again;
mod body;
mod client;
mod client_head;
mod connection;
mod deadline;
pub(crate) mod exchange;
mod head;
mod pool;
mod session;
mod spelling;

pub use pool::Pools;
pub(crate) use pool::{Likeness, Pool};
pub(crate) use session::Left;
pub(crate) use spelling::Spelling;

use crate::context::{Connection, Context};
use crate::io::Io;
use crate::life::{self, Next};
use crate::serve::Server;
use crate::state::Limits;
use client::{Client, NoRequest};
use deadline::Deadline;
use futures_util::future;
use pingora::protocols::http::ServerSession;
use pingora::proxy::ProxyHttp;
use std::future::poll_fn;
use std::mem;
use std::pin::pin;
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
    let left = Left::default();
    let mut next = Some(Box::new(io));
    while let Some(mut io) = next {
        let begun = poll_fn(|cx| match io.poll_begin(cx) {
            Poll::Pending => idle.poll(cx, wait).map(|()| false),
            ready => ready,
        });
        let begun = tokio::select! {
            biased;
            begun = begun => begun,
            // Between requests there is nothing to finish; and it is not for being idle that this one ends.
            _ = &mut stopped => {
                connection.clock.is_answered();
                false
            }
        };
        if !begun {
            return;
        }
        idle.clear();
        let is_last = connection.clock.requests() + 1 >= limits.requests_per_connection;
        // Where nothing but empty lines has come, it is still idle. A head that begins in time has its own.
        let time = wait.saturating_add(limits.header_timeout);
        let still_idle = poll_fn(|cx| idle.poll(cx, time));
        let still_idle = pin!(still_idle);
        let until = future::select(stopped.as_mut(), still_idle);
        // Boxed, for a connection that waits does not need the room that requests take.
        let client = Box::pin(read(io, is_last, until)).await;
        idle.clear();
        let Some(client) = client else {
            return;
        };
        next = Box::pin(message(server, client, &left, connection, &mut wait)).await;
        // Its body was read before its response: the next head may come.
        connection.clock.request_is_done();
    }
}

/// Read a request, of which some has come; for so long.
async fn read(io: Box<Io>, is_last: bool, until: impl Future) -> Option<Box<Client>> {
    let read = tokio::select! {
        biased;
        read = Client::read(io, is_last) => read,
        // Not all of it has come: it is for nobody.
        _ = until => return None,
    };
    match read {
        Ok(client) => Some(Box::new(client)),
        Err(NoRequest::Gone) => None,
        Err(NoRequest::Refused(mut io)) => {
            io.close().await;
            None
        }
        Err(NoRequest::Bad(mut io, bad)) => {
            tracing::debug!(%bad, "not a request");
            io.refuse().await;
            None
        }
    }
}

/// Serve a request; the connection, if it can be used again.
async fn message<P>(
    server: &Server<P>,
    mut client: Box<Client>,
    left: &Left,
    connection: &Arc<Connection>,
    wait: &mut Duration,
) -> Option<Box<Io>>
where
    P: ProxyHttp<CTX = Context> + Send + Sync + 'static,
{
    let mut context = Context::new(&server.state, Some(connection.clone()), None);
    context.spelling = mem::take(&mut client.spelling);
    let mut session = left.session(client);
    context.left = left.clone();
    *wait = context.state.limits.idle_timeout;
    match life::run(server, &mut session, &mut context).await {
        Next::Nothing => {}
        Next::Request => drop(session.finish_body().await),
        Next::Pingora => {
            left.hand_over();
            server.hand_over(session, context).await;
            session = ServerSession::new_custom(Box::new(()));
        }
    }
    drop(session);
    left.take()?.renew().await
}
