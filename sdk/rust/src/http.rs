//! Requests to other servers: to the origins that the operator granted,
//! `allow = { http = ["https://auth.example"] }`.
//!
//! Redirects are answered, not followed. Connections are pooled. These functions wait: a plugin
//! that uses them is called asynchronously, and the request that it is asked about waits with it.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_sdk::prelude::*;
//! use tidegate_sdk::testing::{Exchange, Host};
//!
//! #[derive(Deserialize)]
//! struct Ask {}
//!
//! #[plugin]
//! impl Plugin for Ask {
//!     fn on_request(&self, request: &mut Request) -> Action {
//!         let answer = http::get("https://auth.example/check")
//!             .header("x-path", request.path())
//!             .timeout(Duration::from_millis(200))
//!             .send();
//!         match answer {
//!             Ok(answer) if answer.status == 200 => Action::Proceed,
//!             Ok(answer) => request.respond(Reply::new(403).text(answer.text())),
//!             Err(failure) => {
//!                 log::error!("nobody to ask: {failure}");
//!                 Action::Fail
//!             }
//!         }
//!     }
//! }
//!
//! let mut host = Host::new();
//! host.add_http_answer("https://auth.example/check", Reply::new(401).text("who?"));
//! let mut ask = host.configure::<Ask>("{}").unwrap();
//! let mut exchange = Exchange::get("/a");
//! assert_eq!(ask.on_request(&mut exchange), Action::Respond);
//! assert_eq!(exchange.reply().unwrap().body_text(), "who?");
//! assert_eq!(ask.host().http_requests()[0].header("x-path").as_deref(), Some("/a"));
//! ```

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::HeaderValue;
use crate::bindings::host::tidegate::plugin::http_client as wit;
use crate::host::http_client as host;
use crate::time::nanoseconds;

pub use wit::Failure;

/// The most that [`Request::send`] reads of a response body, in bytes: 1 MiB.
pub const BODY_LIMIT: u32 = 1 << 20;

/// A `GET` request to an absolute URL.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// A `POST` request to an absolute URL.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// A request to another server.
#[derive(Clone)]
#[must_use = "nothing is sent before `send` or `begin`"]
pub struct Request {
    head: wit::Request,
    body: Vec<u8>,
    limit: u32,
}

impl Request {
    /// A request with any method, to an absolute URL such as `https://auth.example/check?x=1`.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            head: wit::Request {
                method: method.into(),
                url: url.into(),
                headers: Vec::new(),
                timeout: None,
            },
            body: Vec::new(),
            limit: BODY_LIMIT,
        }
    }

    /// Add a field. `host` and the fields that frame the message follow from the rest.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.head.headers.push((name.into(), value.into()));
        self
    }

    /// The body and its `content-type`, for [`send`](Self::send).
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// The longest time until the response is there; 10 s where this is not called.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.head.timeout = Some(nanoseconds(timeout));
        self
    }

    /// The most bytes of the response body, up to [`BODY_LIMIT`]; a longer one is
    /// [`Failure::TooLarge`].
    pub fn limit(mut self, bytes: u32) -> Self {
        self.limit = bytes;
        self
    }

    /// Send it and wait for the whole response.
    ///
    /// # Errors
    ///
    /// Why there is no response. A status such as 500 is a response.
    pub fn send(self) -> Result<Response, Failure> {
        let (head, body) = host::send(&self.head, &self.body, self.limit)?;
        Ok(Response {
            status: head.status,
            headers: Headers::from(head.headers),
            body,
        })
    }

    /// Send the head. What [`body`](Self::body) set is not sent: the body follows with
    /// [`Call::write`].
    ///
    /// # Errors
    ///
    /// Why it could not be sent.
    pub fn begin(self) -> Result<Call, Failure> {
        host::begin(&self.head).map(|id| Call(Open(id)))
    }
}

/// Without what may hold a secret: the query, the fields, the body.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.head.url.split('?').next();
        f.debug_struct("Request")
            .field("method", &self.head.method)
            .field("url", &url.unwrap_or_default())
            .finish_non_exhaustive()
    }
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.headers.get(name)
    }

    /// The body as text, with a replacement character for what is not UTF-8.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// The header fields of a response, in order, names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, HeaderValue)>);

impl Headers {
    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&HeaderValue> {
        let mut fields = self.iter();
        fields.find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl From<Vec<(String, Vec<u8>)>> for Headers {
    fn from(fields: Vec<(String, Vec<u8>)>) -> Self {
        let fields = fields.into_iter();
        Self(fields.map(|(name, value)| (name, value.into())).collect())
    }
}

/// A call whose request body is being sent. It ends with the phase that began it, and where it is
/// dropped it is given up.
#[derive(Debug)]
pub struct Call(Open);

impl Call {
    /// Send data of the request body, as fast as the server takes it.
    ///
    /// # Errors
    ///
    /// Why it could not be sent.
    pub fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        host::write(self.0.0, data)
    }

    /// End the request body and wait for the head of the response.
    ///
    /// # Errors
    ///
    /// Why there is no response.
    pub fn finish(self) -> Result<ResponseStream, Failure> {
        let head = host::finish(self.0.0)?;
        Ok(ResponseStream {
            status: head.status,
            headers: Headers::from(head.headers),
            call: self.0,
        })
    }
}

/// A response whose body is being read.
#[derive(Debug)]
pub struct ResponseStream {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    call: Open,
}

impl ResponseStream {
    /// The next data of the body; `None` at its end.
    ///
    /// # Errors
    ///
    /// Why the rest does not come.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        host::read(self.call.0)
    }
}

/// A call in the host, which is told when nobody needs it any more.
#[derive(Debug)]
struct Open(u32);

impl Drop for Open {
    fn drop(&mut self) {
        host::close(self.0);
    }
}
