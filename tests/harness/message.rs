//! Requests to send and responses that came.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};

/// The body of a request.
pub type Body = BoxBody<Bytes, Infallible>;

/// A request to send. Its URI is a path; the client adds what else belongs there.
pub type Request = http::Request<Body>;

/// A whole response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What came after the body; of HTTP/2 alone.
    pub trailers: HeaderMap,
}

/// A request without a body.
pub fn get(path: &str) -> Request {
    request("GET", path, "")
}

/// A `POST` with a body of known length.
pub fn post(path: &str, body: impl Into<Bytes>) -> Request {
    request("POST", path, body)
}

/// A request with a body of known length.
pub fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request {
    http::Request::builder()
        .method(method)
        .uri(path)
        .body(Full::new(body.into()).boxed())
        .unwrap()
}

/// A `POST` with a body of unknown length: chunks in HTTP/1.1.
pub fn streamed(path: &str, chunks: Vec<Bytes>) -> Request {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        for chunk in chunks {
            // Nobody reads any more when the answer came early.
            if sender.send_data(chunk).await.is_err() {
                return;
            }
        }
    });
    let mut request = http::Request::new(body.boxed());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().unwrap();
    request
}

/// The request with one more header field.
pub fn with_header(mut request: Request, name: &'static str, value: &str) -> Request {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    /// The first value of a header field, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }
}
