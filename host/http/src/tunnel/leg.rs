//! The upstream's leg of a tunnel: a connection of its own, on which the request is sent as HTTP/1.1.

use super::upgrade::Upgrade;
use crate::connect::Connected;
use crate::context::Context;
use crate::hop_by_hop;
use crate::phase::{failure, upstream_peer, upstream_request};
use crate::plugins::internal;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pingora::ErrorType::{ReadError, ReadTimedout};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType};
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::either::Either;

/// Bounds of the head that answers.
const HEAD_BYTES: usize = 64 * 1024;
const FIELDS: usize = 256;

/// What the upstream answered.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    /// How long to wait for each part of the body.
    pub(super) read_timeout: Duration,
}

/// A connection that has left HTTP, and what came on it after the head.
pub(super) struct Switched {
    pub(super) stream: Connected,
    pub(super) early: Bytes,
}

impl Switched {
    /// Let the upstream see that the connection broke, and did not end; as far as its kind of socket can.
    pub(super) fn reset(self) {
        let socket = match self.stream {
            Connected::Left(plain) => plain,
            Connected::Right(tls) => tls.into_inner().0,
        };
        if let Either::Left(stream) = socket {
            // What cannot be set is a socket that is gone already.
            let _ = stream.set_zero_linger();
        }
    }
}

/// Send the request to the peer whose turn it is, or, where that cannot be reached, to the next.
///
/// # Errors
/// No peer was reached or answered, or a plugin decided otherwise.
pub(super) async fn ask(
    session: &mut ServerSession,
    context: &mut Context,
    upgrade: &Upgrade,
) -> pingora::Result<Answer> {
    let (stream, read_timeout) = connect(session, context).await?;
    let mut head = own_head(session.req_header());
    upstream_request::run(session, &mut head, context).await?;
    let request = upgrade.request(head);
    let answered = tokio::select! {
        biased;
        answered = exchange(stream, request, read_timeout) => answered,
        error = gone(session) => return Err(error),
    };
    match answered {
        Ok(response) => Ok(Answer {
            response,
            read_timeout,
        }),
        // The peer may have seen the request: it is not repeated.
        Err(error) => Err(upstream_peer::failed(session, context, error, false)),
    }
}

/// Leave HTTP, after a 101.
pub(super) async fn switch(response: Response<Incoming>) -> pingora::Result<Switched> {
    let upgraded = hyper::upgrade::on(response).await;
    let upgraded = upgraded.map_err(|error| broken(ReadError, error))?;
    let parts = upgraded.downcast::<TokioIo<Connected>>();
    let parts = parts.map_err(|_| internal("the upstream's stream is another"))?;
    Ok(Switched {
        stream: parts.io.into_inner(),
        early: parts.read_buf,
    })
}

/// A connection, and the timeout of what is read from it as long as it is HTTP.
async fn connect(
    session: &mut ServerSession,
    context: &mut Context,
) -> pingora::Result<(Connected, Duration)> {
    loop {
        let upstream = upstream_peer::next(session, context).await?;
        let Some(peer) = upstream.peer(context.upstream.turn) else {
            return Err(internal("no peer"));
        };
        if peer.is_http2() {
            let reason = "the upstream speaks HTTP/2, in which there are no upgrades";
            let status = StatusCode::NOT_IMPLEMENTED;
            return Err(failure::refuse(context, status, reason));
        }
        let proxied_for = context.proxied_for();
        let error = match peer.connector().connect(proxied_for.as_ref()).await {
            Ok(stream) => return Ok((stream, peer.read_timeout().unwrap_or(Duration::MAX))),
            Err(error) => Box::<Error>::from(error).into_up(),
        };
        let error = upstream_peer::failed_to_connect(context, error);
        if !error.retry() {
            return Err(error);
        }
    }
}

/// A copy of the head, without what is about the client's connection. What the client named there itself went
/// when the request was accepted: a field of that name is one that a plugin has set since.
fn own_head(head: &RequestHeader) -> RequestHeader {
    let mut copy = head.clone();
    for name in hop_by_hop::names(&head.headers) {
        copy.remove_header(&name);
    }
    copy
}

/// Wait until the client is gone: what it asked for is for nobody then. What it sends for the tunnel waits.
pub(super) async fn gone(session: &mut ServerSession) -> Box<Error> {
    match session.read_body_or_idle(true).await {
        Err(error) => error.into_down(),
        Ok(_) => internal("a body where there is none"),
    }
}

/// Send a request and wait for the head that answers it.
async fn exchange(
    stream: Connected,
    request: http::Request<Empty<Bytes>>,
    read_timeout: Duration,
) -> pingora::Result<Response<Incoming>> {
    let answered = async {
        let mut builder = http1::Builder::new();
        builder.max_headers(FIELDS).max_header_size(HEAD_BYTES);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        // Ends with the response's body, or when the stream is taken out of it.
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await
    };
    match timeout(read_timeout, answered).await {
        Ok(answered) => answered.map_err(|error| broken(ReadError, error)),
        Err(_) => Err(Error::explain(ReadTimedout, "no response head in time").into_up()),
    }
}

/// An error of the upstream's side.
pub(super) fn broken(
    kind: ErrorType,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> Box<Error> {
    Error::because(kind, "in the upstream's leg of a tunnel", cause).into_up()
}
