//! Tunnels: connections that leave HTTP, such as WebSockets.
//!
//! Pingora does not carry them. It takes the end of the request's own body for the end of the tunnel where an
//! upstream is fast, copies in one direction at a time, cuts what is silent for a minute, and knows no WebSocket
//! over HTTP/2. So the exchange is ours:
//!
//! 1. [`upgrade`]: what the client asks for, in one form for HTTP/1.1 and HTTP/2.
//! 2. [`leg`]: the request goes to a peer over a connection of its own. The phases are those of any request:
//!    plugins have seen the head, choose the upstream, and edit the copy that is sent.
//! 3. The upstream answers something else than 101: [`relay`].
//! 4. It answers 101: plugins see the head, the client's stream is taken out of its session, and
//!    [`carry`] moves bytes both ways. Of those, plugins see nothing.

mod carry;
mod h2_stream;
mod leg;
mod relay;
mod upgrade;

pub(crate) use carry::Traffic;
pub(crate) use upgrade::{Upgrade, is_extended_connect, translate};

use crate::abuse::Cut;
use crate::context::Context;
use crate::interpose::Interposed;
use crate::io::Io;
use crate::metrics::TunnelMetrics;
use crate::plugins::internal;
use crate::{phase, respond};
use bytes::Bytes;
use carry::{Broken, Early, Silence, carry};
use h2_stream::H2Stream;
use http::{StatusCode, header};
use leg::Switched;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType};
use prometheus::IntGauge;
use tidegate_listen::Stream;
use tokio::io::{AsyncRead, AsyncWrite};

/// Ask the upstream, and serve what comes of it to its end.
///
/// # Errors
/// As in any exchange, until the client has got a head. What ends a tunnel is no error of the request: the
/// access log says it.
pub(crate) async fn run(
    session: &mut ServerSession,
    context: &mut Context,
    upgrade: Upgrade,
) -> pingora::Result<()> {
    // Boxed, for a tunnel of hours does not need the room that its beginning takes.
    let Some(upstream) = Box::pin(open(session, context, &upgrade)).await? else {
        return Ok(());
    };
    let Some(route) = context.route.clone() else {
        return Err(internal("a tunnel without a route"));
    };
    let metrics = &route.metrics.tunnels;
    let _open = Open::new(&metrics.open);
    let limits = &context.state.limits;
    let silence = Silence {
        open: limits.tunnel_idle_timeout,
        ended: limits.tunnel_close_timeout,
    };
    let mut traffic = Traffic::default();
    let ended = match &mut *session {
        ServerSession::H2(client) => {
            let client = H2Stream::new(client);
            let client = client.ok_or_else(|| internal("a tunnel without a head"))?;
            let sides = Sides { client, upstream };
            sides
                .join(Bytes::new(), silence, metrics, &mut traffic)
                .await
        }
        client => {
            let (client, early) = take(client, context)?;
            let sides = Sides { client, upstream };
            sides.join(early, silence, metrics, &mut traffic).await
        }
    };
    if let (Err(Broken::Idle), Some(connection)) = (&ended, &context.connection) {
        match session.is_http2() {
            true => connection.guard.cut_stream(Cut::TunnelIdle),
            false => connection.guard.cut(Cut::TunnelIdle),
        }
    }
    context.tunnel = Some(traffic);
    context.problem = ended.err().map(|broken| broken.problem().to_owned());
    Ok(())
}

/// Both legs, up to the head that opens the tunnel for the client. `None` where there is none: the client has
/// got the upstream's other answer.
async fn open(
    session: &mut ServerSession,
    context: &mut Context,
    upgrade: &Upgrade,
) -> pingora::Result<Option<Switched>> {
    let answer = leg::ask(session, context, upgrade).await?;
    let status = answer.response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        if upgrade.is_extended_connect() && status.is_success() {
            // To the client it would say that the tunnel is open.
            return Err(bad_answer("a success without a 101"));
        }
        relay::run(session, context, answer).await?;
        return Ok(None);
    }
    upgrade
        .check(answer.response.headers())
        .map_err(bad_answer)?;
    let mut head = head_of(&answer.response);
    let switched = leg::switch(answer.response).await?;
    upgrade.opening(&mut head)?;
    Interposed::remove(session, context);
    phase::response::pass(session, &mut head, context).await?;
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        // A plugin wants it to be something else: there is no tunnel, and no body.
        head.remove_header(&header::CONNECTION);
        head.remove_header(&header::UPGRADE);
        if !respond::is_bodiless(head.status) {
            head.insert_header(header::CONTENT_LENGTH, 0)?;
        }
        context.end_connection();
        respond::write(session, head, Bytes::new()).await?;
        return Ok(None);
    }
    if upgrade.is_extended_connect() {
        head.set_status(StatusCode::OK)?;
    }
    session.write_response_header(Box::new(head)).await?;
    Ok(Some(switched))
}

fn head_of<T>(response: &http::Response<T>) -> ResponseHeader {
    let mut head = respond::empty_response(response.status());
    for (name, value) in response.headers() {
        // Fails only for values that are not values yet.
        let _ = head.append_header(name.clone(), value.clone());
    }
    head
}

/// An answer that an upstream may not give.
fn bad_answer(what: &'static str) -> Box<Error> {
    Error::explain(ErrorType::InvalidHTTPHeader, what).into_up()
}

/// Take the client's socket out of a session that has got its 101, and what the client had sent after its
/// request. The session stays, for the log.
fn take(session: &mut ServerSession, context: &Context) -> pingora::Result<(Stream, Bytes)> {
    let taken = context.left.look(session, Io::take).flatten();
    let taken = taken.ok_or_else(|| internal("the client's stream is another"))?;
    Ok((taken.stream, taken.unread))
}

/// The two ends of a tunnel.
struct Sides<C> {
    client: C,
    upstream: Switched,
}

/// The client's end.
trait Client: AsyncRead + AsyncWrite + Unpin {
    /// Let the client see that the connection broke, and did not end.
    fn reset(self);
}

impl Client for Stream {
    fn reset(self) {
        Stream::reset(self);
    }
}

impl Client for H2Stream<'_> {
    fn reset(self) {
        H2Stream::reset(self);
    }
}

impl<C: Client> Sides<C> {
    /// Carry bytes until both have ended. Where one breaks off, the other sees it break off.
    async fn join(
        mut self,
        from_client: Bytes,
        silence: Silence,
        metrics: &TunnelMetrics,
        traffic: &mut Traffic,
    ) -> Result<(), Broken> {
        let early = Early {
            from_client,
            from_upstream: std::mem::take(&mut self.upstream.early),
        };
        let (client, upstream) = (&mut self.client, &mut self.upstream.stream);
        let ended = carry(client, upstream, early, silence, metrics, traffic).await;
        match ended {
            Err(Broken::Upstream) => self.client.reset(),
            Err(Broken::Client) => self.upstream.reset(),
            Err(Broken::Idle) | Ok(()) => {}
        }
        ended
    }
}

/// Counts a tunnel while it is open.
struct Open(IntGauge);

impl Open {
    fn new(open: &IntGauge) -> Open {
        open.inc();
        Open(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
