//! An upstream that did not switch protocols: its answer goes to the client as any other.

use super::leg::{Answer, broken, gone};
use crate::context::Context;
use crate::hop_by_hop;
use crate::phase;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use pingora::Error;
use pingora::ErrorType::{ReadError, ReadTimedout};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::ServerSession;
use std::time::Duration;
use tokio::time::timeout;

/// Send the response. It takes the same way through plugins as one that Pingora reads.
///
/// # Errors
/// The upstream broke off, the client is gone, or a plugin replies instead.
pub(super) async fn run(
    session: &mut ServerSession,
    context: &mut Context,
    answer: Answer,
) -> pingora::Result<()> {
    let (parts, mut body) = answer.response.into_parts();
    let mut head = ResponseHeader::from(parts);
    hop_by_hop::remove_from_response(&mut head);
    // The client may have sent more already, in the other protocol: it is not the next request.
    context.end_connection();
    phase::response::run(session, &mut head, context).await?;
    let mut end = body.is_end_stream();
    write(session, HttpTask::Header(Box::new(head), end)).await?;
    while !end {
        let task = tokio::select! {
            biased;
            task = next(&mut body, answer.read_timeout) => task?,
            error = gone(session) => return Err(error),
        };
        end = matches!(task, HttpTask::Done);
        write(session, task).await?;
    }
    Ok(())
}

async fn next(body: &mut Incoming, read_timeout: Duration) -> pingora::Result<HttpTask> {
    let Ok(frame) = timeout(read_timeout, body.frame()).await else {
        return Err(Error::explain(ReadTimedout, "the body did not come on").into_up());
    };
    let Some(frame) = frame else {
        return Ok(HttpTask::Done);
    };
    let frame = frame.map_err(|error| broken(ReadError, error))?;
    Ok(match frame.into_data() {
        Ok(data) => HttpTask::Body(Some(data), false),
        Err(frame) => HttpTask::Trailer(frame.into_trailers().ok().map(Box::new)),
    })
}

async fn write(session: &mut ServerSession, task: HttpTask) -> pingora::Result<()> {
    let written = session.response_duplex_vec(vec![task]);
    written.await.map(drop)
}
