//! Errors become responses, here and nowhere else.

use crate::abuse::Cut;
use crate::connect::ConnectError;
use crate::context::{Context, Instead};
use crate::interpose::Interposed;
use crate::respond;
use http::StatusCode;
use pingora::protocols::http::ServerSession;
use pingora::proxy::FailToProxy;
use pingora::{Error, ErrorSource, ErrorType};
use std::io;

/// A request that is refused, as an error that ends up in [`run`].
pub(crate) fn refuse(
    context: &mut Context,
    status: StatusCode,
    reason: &'static str,
) -> Box<Error> {
    context.instead = Some(Instead::Reply(context.error_pages().reply(status, reason)));
    context.problem = Some(reason.to_owned());
    Error::explain(ErrorType::HTTPStatus(status.as_u16()), reason)
}

/// Answer a request that failed, unless its response has begun or nobody is there to read it.
pub async fn run(session: &mut ServerSession, error: &Error, context: &mut Context) -> FailToProxy {
    context.give_back(session);
    context.take_verdict();
    Interposed::remove(session, context);
    count_stall(session, error, context);
    let instead = context.instead.take();
    let status = match &instead {
        Some(Instead::Reply(reply)) => reply.status.as_u16(),
        Some(Instead::Status(status)) => status.as_u16(),
        None => status_of(error),
    };
    if context.problem.is_none() && instead.is_none() {
        context.problem = Some(describe(error));
    }
    // What follows a 101 belongs to the tunnel.
    let begun = super::has_begun(session);
    let outcome = |status| FailToProxy {
        error_code: status,
        can_reuse_downstream: false,
    };
    let keeps_connection = context.is_early && session.is_body_done();
    let Ok(code) = StatusCode::from_u16(status) else {
        return outcome(0);
    };
    if begun {
        return outcome(status);
    }
    if !keeps_connection {
        // What is left of the request is not read: the connection ends with this response.
        context.end_connection();
    }
    let reply = match instead.unwrap_or(Instead::Status(code)) {
        Instead::Reply(reply) => reply,
        Instead::Status(status) => context.error_pages().of_status(status),
    };
    match respond::send(session, context, reply).await {
        Ok(()) if keeps_connection => {
            return FailToProxy {
                error_code: status,
                can_reuse_downstream: true,
            };
        }
        Ok(()) => context
            .connection
            .iter()
            .for_each(|c| c.clock.is_answered()),
        Err(error) => {
            tracing::debug!(%error, "the client was gone before the error could be sent");
        }
    }
    outcome(status)
}

/// The status of an error; 0 where nobody is there to read it.
fn status_of(error: &Error) -> u16 {
    use ErrorType::*;
    if let HTTPStatus(status) = error.etype() {
        return *status;
    }
    match (error.esource(), error.etype()) {
        (ErrorSource::Upstream, ConnectTimedout | ReadTimedout | WriteTimedout) => 504,
        (ErrorSource::Upstream, _) => 502,
        (ErrorSource::Downstream, ReadTimedout) => 408,
        (ErrorSource::Downstream, ReadError) if is_refused(error) => 400,
        (ErrorSource::Downstream, WriteError | ReadError | ConnectionClosed | WriteTimedout) => 0,
        (ErrorSource::Downstream, _) => 400,
        _ => 500,
    }
}

/// Whether the connection's bytes were refused in the middle of a body.
fn is_refused(error: &Error) -> bool {
    let cause = error.cause.as_ref();
    let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData)
}

/// Count a client that does not send its body, or does not read its response.
fn count_stall(session: &ServerSession, error: &Error, context: &Context) {
    let Some(connection) = &context.connection else {
        return;
    };
    let cut = match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Cut::BodyTimeout,
        (ErrorSource::Downstream, ErrorType::WriteTimedout) => Cut::WriteTimeout,
        _ => return,
    };
    if session.is_http2() {
        connection.guard.cut_stream(cut);
    } else {
        connection.guard.cut(cut);
    }
}

/// For the access log: the kind, without what a client or upstream may have put into the text.
fn describe(error: &Error) -> String {
    if let Some(error) = error.root_cause().downcast_ref::<ConnectError>() {
        return format!("upstream: {error}");
    }
    let side = match error.esource() {
        ErrorSource::Upstream => "upstream",
        ErrorSource::Downstream => "client",
        ErrorSource::Internal | ErrorSource::Unset => "proxy",
    };
    format!("{side}: {}", error.etype().as_str())
}
