//! The echo responder: answers with the request as an upstream would have seen it.

use crate::context::Context;
use crate::phase::{request_body, upstream_request};
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use pingora::protocols::http::ServerSession;
use serde_json::{Map, Value, json};
use tidegate_chain::Reply;

/// Bytes of the body that are shown.
const BODY_SHOWN: usize = 64 * 1024;

/// The reply: reads the whole body, keeps its beginning.
pub(crate) async fn reply(
    session: &mut ServerSession,
    context: &mut Context,
) -> pingora::Result<Reply> {
    let mut head = session.req_header().clone();
    upstream_request::own_fields(&head.headers, context).apply(&mut head)?;
    let mut shown = Vec::new();
    request_body::ask_for_it(session).await?;
    loop {
        let mut data = session
            .read_request_body()
            .await
            .map_err(|error| error.into_down())?;
        let end = data.is_none();
        request_body::run(session, &mut data, end, context).await?;
        let data = data.unwrap_or_default();
        let room = BODY_SHOWN.saturating_sub(shown.len()).min(data.len());
        shown.extend_from_slice(data.get(..room).unwrap_or_default());
        if end {
            break;
        }
    }
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
        "host": &*context.facts.host,
        "version": context.facts.protocol,
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
