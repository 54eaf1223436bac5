//! Count the request body.

use crate::context::Context;
use bytes::Bytes;
use http::StatusCode;

/// A part of the body passes.
///
/// # Errors
/// The body is longer than is allowed.
pub fn run(body: &Option<Bytes>, context: &mut Context) -> pingora::Result<()> {
    let Some(body) = body else { return Ok(()) };
    context.body_bytes += body.len() as u64;
    check(context.body_bytes, context)
}

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
