//! The echo responder: answers with the request as an upstream would have seen it.

use crate::context::Context;
use crate::phase::{request_body, upstream_request};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, Version};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use serde_json::{Map, Value, json};
use tidegate_chain::Reply;

/// Bytes of the body that are shown.
const BODY_SHOWN: usize = 64 * 1024;

/// The reply: reads the whole body, keeps its beginning.
pub(crate) async fn reply(session: &mut Session, context: &mut Context) -> pingora::Result<Reply> {
    let mut head = session.req_header().clone();
    upstream_request::complete(&mut head, context)?;
    let mut shown = Vec::new();
    if expects_continue(session.req_header()) {
        session.write_continue_response().await?;
    }
    while let Some(chunk) = session.read_request_body().await? {
        request_body::pass(chunk.len(), false, context)?;
        let room = BODY_SHOWN.saturating_sub(shown.len()).min(chunk.len());
        shown.extend_from_slice(chunk.get(..room).unwrap_or_default());
    }
    request_body::pass(0, true, context)?;
    let mut headers = Map::new();
    for (name, value) in &head.headers {
        let text = Value::from(String::from_utf8_lossy(value.as_bytes()));
        let entry = headers.entry(name.as_str()).or_insert_with(|| json!([]));
        if let Value::Array(values) = entry {
            values.push(text);
        }
    }
    let body = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "host": &*context.facts().host,
        "version": context.facts().protocol,
        "headers": headers,
        "body": String::from_utf8_lossy(&shown),
        "body_bytes": context.body_bytes,
    });
    let mut text = serde_json::to_vec_pretty(&body).unwrap_or_default();
    text.push(b'\n');
    let mut reply = Reply::text(StatusCode::OK, Bytes::from(text));
    let json = HeaderValue::from_static("application/json");
    reply.headers.insert(http::header::CONTENT_TYPE, json);
    Ok(reply)
}

/// Whether the client waits to be told to send its body (RFC 9110 §10.1.1).
fn expects_continue(head: &RequestHeader) -> bool {
    let expect = head.headers.get("expect");
    head.version == Version::HTTP_11
        && expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}
