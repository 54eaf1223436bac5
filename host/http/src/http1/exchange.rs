//! A request and its upstream: the peers are tried in turn, the request goes to one of them while its response goes to
//! the client.

use super::connection::{Broken, Connection, Event, Patience};
use super::head::BadHead;
use crate::context::Context;
use crate::hop_by_hop;
use crate::interpose::has_body;
use crate::own_fields::OwnFields;
use crate::peer::Peer;
use crate::phase::{request_body, response, upstream_peer, upstream_request};
use crate::plugins::internal;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::{Error, ErrorType, RetryType};
use std::time::Duration;

/// Data of responses below this size is copied for clients of HTTP/2.
const COPIED: usize = 16 * 1024;

/// Ask one peer after another, until one has answered, or none may be asked any more.
///
/// # Errors
/// No peer answered, the client is gone, or a plugin decided otherwise.
pub(crate) async fn run(session: &mut ServerSession, context: &mut Context) -> pingora::Result<()> {
    loop {
        match attempt(session, context).await {
            Err(error) if error.retry() => {}
            done => return done,
        }
    }
}

/// Ask the peer whose turn it is.
async fn attempt(session: &mut ServerSession, context: &mut Context) -> pingora::Result<()> {
    let upstream = upstream_peer::next(session, context).await?;
    let Some(peer) = upstream.peer(context.upstream.turn) else {
        return Err(internal("no peer"));
    };
    let client = peer.connector().proxy.and_then(|_| context.proxied_for());
    let kept = peer.pool().take(client.as_ref());
    let reused = kept.is_some();
    let mut connection = match kept {
        Some(connection) => connection,
        None => match peer.connector().connect(client.as_ref()).await {
            Ok(stream) => Box::new(Connection::new(stream)),
            Err(error) => {
                let error = Box::<Error>::from(error).into_up();
                return Err(upstream_peer::failed_to_connect(context, error));
            }
        },
    };
    connection.be_patient(patience(peer));
    match pass(session, context, &mut connection).await {
        Ok(()) => {
            if connection.renew() {
                peer.pool().put(client, connection);
            }
            Ok(())
        }
        Err(error) => {
            if !connection.has_begun() {
                // A plugin, say, decided otherwise.
                peer.pool().put(client, connection);
            }
            Err(upstream_peer::failed(session, context, error, reused))
        }
    }
}

fn patience(peer: &Peer) -> Patience {
    Patience {
        read: peer.read_timeout().unwrap_or(Duration::MAX),
        write: peer.write_timeout().unwrap_or(Duration::MAX),
    }
}

/// The request to the peer, and what comes of it to the client.
async fn pass(
    session: &mut ServerSession,
    context: &mut Context,
    connection: &mut Connection,
) -> pingora::Result<()> {
    let has_body = !session.is_body_empty();
    begin(session, context, connection, has_body).await?;
    if has_body {
        session.enable_retry_buffering();
    }
    let mut is_sent = session.is_body_done();
    let again = session.get_retry_buffer();
    // Of a body that was read before, what there is of it; and the end of one that is over, or not there.
    if again.is_some() || is_sent {
        give(session, context, connection, again, is_sent).await?;
    } else if let Some(data) = session.read_body_or_idle(false).now_or_never() {
        // What has come already goes with the head.
        let data = data.map_err(|error| error.into_down())?;
        is_sent = session.is_body_done() || data.is_none();
        give(session, context, connection, data, is_sent).await?;
    }
    loop {
        match step(session, connection, is_sent).await {
            Step::Client(data) => {
                let data = data.map_err(|error| error.into_down())?;
                is_sent = session.is_body_done() || data.is_none();
                give(session, context, connection, data, is_sent).await?;
            }
            Step::Peer(event) => {
                let event = event.map_err(|broken| failed(broken, connection.is_unanswered()))?;
                if answer(session, context, event).await? {
                    break;
                }
            }
        }
    }
    // The response is whole. What the peer still wants of the request it gets, for as long as the client sends it.
    while !is_sent && !connection.is_left() {
        if connection.has_room() {
            let data = session.read_body_or_idle(false).await;
            let data = data.map_err(|error| error.into_down())?;
            is_sent = session.is_body_done() || data.is_none();
            give(session, context, connection, data, is_sent).await?;
        }
        if connection.drain().await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// What happens next.
enum Step {
    /// The client has sent more of its body.
    Client(pingora::Result<Option<Bytes>>),
    Peer(Result<Event, Broken>),
}

async fn step(session: &mut ServerSession, connection: &mut Connection, is_sent: bool) -> Step {
    if is_sent {
        // All that can come of the client is that it goes away.
        return tokio::select! {
            biased;
            event = connection.next() => Step::Peer(event),
            data = session.read_body_or_idle(true) => Step::Client(data),
        };
    }
    let has_room = connection.has_room();
    tokio::select! {
        event = connection.next() => Step::Peer(event),
        data = session.read_body_or_idle(false), if has_room => Step::Client(data),
    }
}

/// The head goes to the peer: without what is about the client's connection, and with what tells the peer about the
/// client.
async fn begin(
    session: &mut ServerSession,
    context: &mut Context,
    connection: &mut Connection,
    has_body: bool,
) -> pingora::Result<()> {
    if upstream_request::is_own(context) {
        let own = upstream_request::run_own(session, context).await?;
        let begun = connection.begin(session.req_header(), &context.spelling, own, has_body);
        return begun.map_err(unsendable);
    }
    let mut head = session.req_header().clone();
    hop_by_hop::remove_always(&mut head);
    upstream_request::run(session, &mut head, context).await?;
    let mut own = OwnFields::new();
    if let Some(value) = head.remove_header(&header::CONNECTION) {
        own.set(&header::CONNECTION, value);
    }
    let begun = connection.begin(&head, &context.spelling, own, has_body);
    begun.map_err(unsendable)
}

/// Data of the request's body, through whoever wants to see it, to the peer.
async fn give(
    session: &mut ServerSession,
    context: &mut Context,
    connection: &mut Connection,
    mut data: Option<Bytes>,
    end: bool,
) -> pingora::Result<()> {
    request_body::run(session, &mut data, end, context).await?;
    let end = end || data.is_none();
    let data = data.unwrap_or_default();
    if end || !data.is_empty() {
        connection.give(data, end);
    }
    Ok(())
}

/// What the peer has sent goes to the client; whether that is all.
async fn answer(
    session: &mut ServerSession,
    context: &mut Context,
    event: Event,
) -> pingora::Result<bool> {
    match event {
        Event::Drained => Ok(false),
        Event::Head(mut head, end) => {
            let is_last = !head.status.is_informational();
            hop_by_hop::remove_from_response(&mut head);
            if is_last && !end {
                frame(session.req_header(), &mut head)?;
            }
            response::run(session, &mut head, context).await?;
            send(session, context, HttpTask::Header(head, end)).await?;
            Ok(is_last && end)
        }
        Event::Body(data, end) => {
            let data = match session.req_header().version {
                // What its client does not take is queued, and counted without what the data keeps from being freed.
                Version::HTTP_2 if data.len() < COPIED => Bytes::copy_from_slice(&data),
                _ => data,
            };
            send(session, context, HttpTask::Body(Some(data), end)).await?;
            Ok(end)
        }
    }
}

/// A body whose end nobody announced comes in chunks, so that the client's connection outlives it. HTTP/2 has its own.
fn frame(request: &RequestHeader, head: &mut ResponseHeader) -> pingora::Result<()> {
    let is_framed = head.headers.contains_key(header::CONTENT_LENGTH)
        || head.headers.contains_key(header::TRANSFER_ENCODING);
    if is_framed || request.version == Version::HTTP_2 || !has_body(&request.method, head.status) {
        return Ok(());
    }
    head.set_version(Version::HTTP_11);
    head.insert_header(header::TRANSFER_ENCODING, "chunked")
}

async fn send(
    session: &mut ServerSession,
    context: &Context,
    task: HttpTask,
) -> pingora::Result<()> {
    if context.interposed.is_some() {
        return session.response_duplex_vec(vec![task]).await.map(drop);
    }
    let sent = match task {
        // In HTTP/2 a head can say that there is no body.
        HttpTask::Header(head, end) if let ServerSession::H2(stream) = session => {
            stream.write_response_header(head, end)
        }
        HttpTask::Header(head, end) => {
            let sent = session.write_response_header(head).await;
            match sent {
                Ok(()) if end => session.finish_body().await,
                sent => sent,
            }
        }
        HttpTask::Body(data, end) => {
            session
                .write_response_body(data.unwrap_or_default(), end)
                .await
        }
        _ => Ok(()),
    };
    sent.map_err(|error| error.into_down())
}

fn unsendable(bad: BadHead) -> Box<Error> {
    Error::because(ErrorType::InvalidHTTPHeader, "to a peer", bad).into_in()
}

/// As the phases know errors of peers; of one that has sent nothing yet, or of another.
fn failed(broken: Broken, is_unanswered: bool) -> Box<Error> {
    let kind = match &broken {
        Broken::Closed => ErrorType::ConnectionClosed,
        Broken::Read(_) | Broken::Body(_) => ErrorType::ReadError,
        Broken::Write(_) => ErrorType::WriteError,
        Broken::ReadTimeout => ErrorType::ReadTimedout,
        Broken::WriteTimeout => ErrorType::WriteTimedout,
        Broken::Head(_) | Broken::HeadSize => ErrorType::InvalidHTTPHeader,
    };
    // A kept connection that its peer has just closed: it has not seen the request.
    let is_closed = match &broken {
        Broken::Closed => true,
        Broken::Read(error) | Broken::Write(error) => error.raw_os_error().is_some(),
        _ => false,
    };
    let mut error = Error::because(kind, "with a peer", broken).into_up();
    if is_closed && is_unanswered {
        error.retry = RetryType::ReusedOnly;
    }
    error
}
