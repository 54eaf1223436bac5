//! The upstream's response head is there: plugins run in reverse.

use crate::context::{Context, Instead};
use crate::respond;
use crate::state::Target;
use http::{StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};

/// Run the plugins on the head.
///
/// # Errors
/// A plugin replies instead: the upstream's response is dropped and [`super::failure`] sends the reply.
pub async fn run(
    session: &mut Session,
    head: &mut ResponseHeader,
    context: &mut Context,
) -> pingora::Result<()> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // A tunnel may be silent for longer than a request body.
        session.set_read_timeout(None);
    }
    if head.status.is_informational() {
        return Ok(());
    }
    // The version is of our connection, not of the upstream's (RFC 9110 §2.5).
    head.set_version(Version::HTTP_11);
    if let Some(Target::Upstream(upstream)) = context.route.as_deref().map(|r| &r.target) {
        upstream.metrics.answered.inc();
        let took = context.start.elapsed().as_secs_f64();
        upstream.metrics.head_seconds.observe(took);
    }
    match respond::run_plugins(session, context, head).await {
        None => Ok(()),
        Some(reply) => {
            let status = reply.status.as_u16();
            context.instead = Some(Instead::Reply(reply));
            Error::e_explain(ErrorType::HTTPStatus(status), "a plugin replied instead")
        }
    }
}
