//! Plaintext listeners that send their clients to https.

use crate::context::Context;
use http::{HeaderValue, StatusCode, header};
use pingora::http::RequestHeader;
use tidegate_chain::Reply;

/// The port of https, which a URL leaves out (RFC 9110 §4.2.2).
const PORT: u16 = 443;

/// The redirect, where the listener sends its clients to https and this one is not there yet. 308 keeps the
/// method and the body (RFC 9110 §15.4.9).
///
/// The place is made of what the accept phase has checked: a host that is one, and the path in its normal
/// form. So nothing that a client sends leads elsewhere, or ends the line.
pub(crate) fn reply(head: &RequestHeader, context: &Context) -> Option<Reply> {
    let port = context.listener()?.https_redirect?;
    if is_secure(head, context) {
        return None;
    }
    let host = &*context.facts.host;
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let location = match (host, port) {
        ("", _) => None,
        (_, PORT) => Some(format!("https://{host}{target}")),
        _ => Some(format!("https://{host}:{port}{target}")),
    };
    let Some(location) = location.and_then(|text| HeaderValue::try_from(text).ok()) else {
        // HTTP/1.0 has no host.
        let pages = context.error_pages();
        return Some(pages.reply(StatusCode::BAD_REQUEST, "no host"));
    };
    let mut reply = Reply::text(StatusCode::PERMANENT_REDIRECT, "308 see location\n");
    reply.headers.insert(header::LOCATION, location);
    Some(reply)
}

/// Whether the client itself used https: here, or at a trusted proxy in front, whom the redirect would send
/// round in circles. What others say in this field was dropped at arrival.
fn is_secure(head: &RequestHeader, context: &Context) -> bool {
    let forwarded = head.headers.get("x-forwarded-proto");
    let forwarded = forwarded.is_some_and(|p| p.as_bytes().eq_ignore_ascii_case(b"https"));
    context.facts.scheme == "https" || forwarded
}
