//! Answers to a certificate authority that asks whether a name is ours: ACME's `http-01` (RFC 8555 §8.3).

use crate::context::Context;
use http::{HeaderValue, Method, StatusCode, header};
use pingora::http::RequestHeader;
use std::fmt::Debug;
use std::sync::Arc;
use tidegate_chain::Reply;

/// Where an authority looks.
const PREFIX: &str = "/.well-known/acme-challenge/";

/// Who knows the challenges that are open. Asked on the data path: it takes no lock.
pub trait Challenges: Debug + Send + Sync {
    /// What is answered for this token, if it is one of ours.
    fn answer(&self, token: &str) -> Option<Arc<str>>;
}

/// The answer, before any route and any redirect. A token that nobody knows here may be that of somebody
/// behind the proxy, so it goes its way.
pub(super) fn reply(head: &RequestHeader, context: &Context) -> Option<Reply> {
    let token = head.uri.path().strip_prefix(PREFIX)?;
    if head.method != Method::GET && head.method != Method::HEAD {
        return None;
    }
    let answer = context.state.challenges.as_ref()?.answer(token)?;
    let mut reply = Reply::text(StatusCode::OK, String::from(&*answer));
    let octets = HeaderValue::from_static("application/octet-stream");
    reply.headers.insert(header::CONTENT_TYPE, octets);
    Some(reply)
}
