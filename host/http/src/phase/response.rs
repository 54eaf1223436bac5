//! The upstream's response head is there: plugins run in reverse.

use crate::context::{Context, Instead};
use crate::{grpc_web, hsts, respond};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType};
use tidegate_chain::Event;

/// Run the plugins on the head.
///
/// # Errors
/// A plugin replies instead: the upstream's response is dropped and [`super::failure`] sends the reply.
pub async fn run(
    session: &mut ServerSession,
    head: &mut ResponseHeader,
    context: &mut Context,
) -> pingora::Result<()> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // Where one was asked for, it does not come this way.
        let kind = ErrorType::InvalidHTTPHeader;
        return Err(Error::explain(kind, "a 101 that nobody asked for").into_up());
    }
    if head.status.is_informational() {
        return Ok(());
    }
    pass(session, head, context).await
}

/// As [`run`], for the head that ends HTTP's part of the exchange, be it the final one or a 101.
pub(crate) async fn pass(
    session: &mut ServerSession,
    head: &mut ResponseHeader,
    context: &mut Context,
) -> pingora::Result<()> {
    // The version is of our connection, not of the upstream's (RFC 9110 §2.5).
    head.set_version(Version::HTTP_11);
    let took = context.start.elapsed();
    context.upstream.answered_after = Some(took);
    if let Some(upstream) = &context.upstream.group {
        upstream.metrics.answered.inc();
        upstream.metrics.head_seconds.observe(took.as_secs_f64());
    }
    if context.grpc_web {
        grpc_web::response(head)?;
    }
    if session.req_header().version == Version::HTTP_10
        && head.remove_header(&header::TRANSFER_ENCODING).is_some()
    {
        // It knows no chunks (RFC 9112 §6.1): the body ends with the connection.
        context.end_connection();
    }
    hsts::add(head, context)?;
    match respond::run_plugins(session, context, head).await? {
        None if context.interposed.is_none() => begin(context).await,
        None => Ok(()),
        Some(reply) => {
            let status = reply.status.as_u16();
            context.instead = Some(Instead::Reply(reply));
            Error::e_explain(ErrorType::HTTPStatus(status), "a plugin replied instead")
        }
    }
}

/// The upstream's trailers are there; gives what the client gets in the body for them.
pub fn trailers(trailers: &HeaderMap, context: &Context) -> Option<Bytes> {
    context.grpc_web.then(|| grpc_web::trailers(trailers))
}

/// Nobody holds the head back: it goes to the client now.
async fn begin(context: &Context) -> pingora::Result<()> {
    match &context.plugins {
        Some(shared) => shared.lock().await.on(Event::Begin),
        None => Ok(()),
    }
}
