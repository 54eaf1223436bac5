//! Count the request body.

use crate::context::Context;
use bytes::Bytes;
use http::StatusCode;
use pingora::proxy::Session;

/// A part of the body passes; with `end` it is the last.
///
/// # Errors
/// The body is longer than is allowed.
pub fn run(
    session: &Session,
    body: &Option<Bytes>,
    end: bool,
    context: &mut Context,
) -> pingora::Result<()> {
    if session.was_upgraded() {
        // Bytes of a tunnel are not a body.
        return Ok(());
    }
    let bytes = body.as_ref().map_or(0, Bytes::len);
    pass(bytes, end, context)
}

/// Count bytes of the body, wherever they are read.
pub(crate) fn pass(bytes: usize, end: bool, context: &mut Context) -> pingora::Result<()> {
    if let Some(clock) = &context.body_clock {
        clock.passed(end);
    }
    context.body_bytes += bytes as u64;
    check(context.body_bytes, context)
}

/// Refuse a body of so many bytes, if that is too many.
pub(crate) fn check(bytes: u64, context: &mut Context) -> pingora::Result<()> {
    let most = context.state.limits.body_bytes;
    if most != 0 && bytes > most {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(super::failure::refuse(
            context,
            status,
            "request body too large",
        ));
    }
    Ok(())
}
