//! What one plugin may call.

use super::call::{Call, Upload};
use super::failure::Failure;
use super::grant::{Grant, Origin, Trust};
use super::request::RequestHead;
use super::transport::Pool;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The grants of one plugin, and how many calls it may have at one time. Cheap to clone; clones share the
/// bound.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    /// The one that counts, where several allow an origin, is first.
    granted: Vec<(Grant, Arc<Pool>)>,
    calls: Arc<Semaphore>,
}

/// The most time that parts of a call take. Connecting has its own, in
/// [`Settings`](super::Settings::connect_timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start to the head of the response; of [`Client::send`], to the end of its body.
    pub response: Duration,
    /// From one piece of a body to the next.
    pub idle: Duration,
}

/// The head of a response. Its fields may hold secrets and are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The final status: interim ones (1xx) are passed over.
    pub status: StatusCode,
    /// The fields, as the server sent them.
    pub headers: HeaderMap,
}

/// A response with its body. Only its status and size are shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// Its head.
    pub head: ResponseHead,
    /// Its body, with what transfer coding added taken off. Content codings stay.
    pub body: Bytes,
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseHead({})", self.status)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Response({}, {} bytes)",
            self.head.status,
            self.body.len()
        )
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            response: Duration::from_secs(10),
            idle: Duration::from_secs(10),
        }
    }
}

impl Client {
    pub(super) fn new(mut granted: Vec<(Grant, Arc<Pool>)>, calls: usize) -> Client {
        granted.sort_by_cached_key(|(grant, _)| grant.rank());
        Client(Arc::new(Inner {
            granted,
            calls: Arc::new(Semaphore::new(calls.min(Semaphore::MAX_PERMITS))),
        }))
    }

    /// Begin a call whose bodies are streamed. It runs on its own from here; dropping it ends it.
    ///
    /// Has to be called within a Tokio runtime.
    ///
    /// # Errors
    /// The origin is not granted, or the plugin has as many calls as it may. Everything else is said by
    /// the [`Call`].
    pub fn start(&self, head: RequestHead, timeouts: Timeouts) -> Result<Call, Failure> {
        let upload = if head.has_body() {
            Upload::Streamed
        } else {
            Upload::Whole(Bytes::new())
        };
        self.call(head, upload, timeouts)
    }

    /// A whole call: send a request with a body, and read a response of which the body has at most `limit`
    /// bytes.
    ///
    /// # Errors
    /// There is no response, or not in time, or it is larger.
    pub async fn send(
        &self,
        head: RequestHead,
        body: Bytes,
        limit: usize,
        timeouts: Timeouts,
    ) -> Result<Response, Failure> {
        let origin = head.origin.to_string();
        let mut call = self.call(head, Upload::Whole(body), timeouts)?;
        let response = async {
            let head = call.finish().await?;
            let body = call.read_to_end(limit).await?;
            Ok(Response { head, body })
        };
        let response = timeout(timeouts.response, response).await;
        response.unwrap_or(Err(Failure::Timeout(origin, "response")))
    }

    /// What a connection for this request is trusted with; who caches responses must not share them with
    /// others.
    ///
    /// # Errors
    /// The origin is not granted.
    pub(crate) fn trust(&self, head: &RequestHead) -> Result<Trust, Failure> {
        self.granted(&head.origin).map(|(grant, _)| grant.trust())
    }

    fn call(&self, head: RequestHead, upload: Upload, timeouts: Timeouts) -> Result<Call, Failure> {
        let (_, pool) = self.granted(&head.origin)?;
        let place = self.0.calls.clone().try_acquire_owned();
        let place = place.map_err(|_| Failure::LimitReached("calls of the plugin"))?;
        Ok(Call::start(pool.clone(), head, upload, timeouts, place))
    }

    fn granted(&self, origin: &Origin) -> Result<&(Grant, Arc<Pool>), Failure> {
        let mut granted = self.0.granted.iter();
        granted
            .find(|(grant, _)| grant.allows(origin))
            .ok_or_else(|| Failure::Forbidden(format!("{origin} is not granted")))
    }
}
