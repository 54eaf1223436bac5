//! A call under way: the request's body goes out, the response's comes in, each as fast as the other side
//! takes it.

use super::client::{ResponseHead, Timeouts};
use super::failure::Failure;
use super::request::RequestHead;
use super::transport::{HEAD_BYTES_MAX, Pool};
use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Incoming};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Pieces of a request's body that wait between the plugin and the connection.
const PIECES_MAX: usize = 1;

/// The body of a request, as the HTTP engine takes it.
pub(super) type RequestBody = Either<Full<Bytes>, Channel<Bytes, Cancelled>>;

/// Where the body of a request comes from.
pub(super) enum Upload {
    Whole(Bytes),
    /// Through [`Call::write`].
    Streamed,
}

/// The call was dropped before its body had ended; the server must not take what it got for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the call was cancelled")]
pub(super) struct Cancelled;

/// A call under way. Dropping it cancels it: the connection, or its HTTP/2 stream, is closed.
pub struct Call {
    origin: Arc<str>,
    idle: Duration,
    upload: Option<Sender<Bytes, Cancelled>>,
    /// Whether a piece of the body was given up, so that what was sent is not the whole.
    torn: bool,
    progress: Progress,
    /// Its place under the bound on calls.
    _place: OwnedSemaphorePermit,
}

enum Progress {
    /// Driven by a task, so that several calls of a plugin advance at the same time.
    Head(AbortOnDropHandle<Result<Response<Incoming>, Failure>>),
    /// There is a head, or none will come; nobody has asked for it yet.
    Arrived(Result<Response<Incoming>, Failure>),
    Body(Incoming),
    Ended,
    /// It failed, and what was read is not the whole.
    Failed,
}

impl Call {
    pub(super) fn start(
        pool: Arc<Pool>,
        head: RequestHead,
        upload: Upload,
        timeouts: Timeouts,
        place: OwnedSemaphorePermit,
    ) -> Call {
        let origin: Arc<str> = head.origin.to_string().into();
        let (upload, body) = match upload {
            Upload::Whole(body) => (None, Either::Left(Full::new(body))),
            Upload::Streamed => {
                let (sender, body) = Channel::new(PIECES_MAX);
                (Some(sender), Either::Right(body))
            }
        };
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        *request.headers_mut() = head.headers;
        let response = exchange(pool, request, origin.clone(), timeouts.response);
        let response = tokio::spawn(response);
        Call {
            origin,
            idle: timeouts.idle,
            upload,
            torn: false,
            progress: Progress::Head(AbortOnDropHandle::new(response)),
            _place: place,
        }
    }

    /// Send a piece of the request's body. Waits while the server does not take it; who waits no longer
    /// can only drop the call.
    ///
    /// # Errors
    /// The call has failed, which is said here already; or the server wants no more, and
    /// [`finish`](Call::finish) has its response ([`Failure::Closed`]); or the body has ended, or the
    /// method has none.
    pub async fn write(&mut self, data: Bytes) -> Result<(), Failure> {
        let Some(upload) = &mut self.upload else {
            return Err(Failure::InvalidRequest(
                "the body has ended, or the method has none",
            ));
        };
        if data.is_empty() {
            return Ok(());
        }
        if std::mem::replace(&mut self.torn, true) {
            return Err(Failure::Closed);
        }
        let Ok(sent) = timeout(self.idle, upload.send_data(data)).await else {
            let origin = self.origin.to_string();
            return Err(Failure::Timeout(origin, "progress of the body"));
        };
        self.torn = false;
        if sent.is_ok() {
            return Ok(());
        }
        match self.arrive().await {
            Some(Err(failure)) => Err(failure.clone()),
            _ => Err(Failure::Closed),
        }
    }

    /// End the request's body and wait for the head of the response. Only once.
    ///
    /// # Errors
    /// There is no response, or not in time; or [`write`](Call::write) has failed for want of time.
    pub async fn finish(&mut self) -> Result<ResponseHead, Failure> {
        if self.torn {
            return Err(Failure::Closed);
        }
        self.upload = None;
        self.arrive().await;
        let arrived = match std::mem::replace(&mut self.progress, Progress::Failed) {
            Progress::Arrived(arrived) => arrived,
            later => {
                self.progress = later;
                return Err(Failure::Closed);
            }
        };
        let (head, body) = arrived?.into_parts();
        self.progress = Progress::Body(body);
        Ok(ResponseHead {
            status: head.status,
            headers: head.headers,
        })
    }

    /// The next piece of the response's body; none at its end. Trailers are passed over.
    ///
    /// # Errors
    /// The connection broke or nothing came in time, so that what was read is not the whole;
    /// [`Failure::Closed`] before [`finish`](Call::finish).
    pub async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        let body = match &mut self.progress {
            Progress::Body(body) => body,
            Progress::Ended => return Ok(None),
            _ => return Err(Failure::Closed),
        };
        let piece = match timeout(self.idle, next(body)).await {
            Ok(piece) => piece.map_err(|error| Failure::of(&self.origin, &error)),
            Err(_) => Err(Failure::Timeout(self.origin.to_string(), "body")),
        };
        match piece {
            Ok(Some(_)) => {}
            Ok(None) => self.progress = Progress::Ended,
            Err(_) => self.progress = Progress::Failed,
        }
        piece
    }

    /// What is left of the response's body, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// As [`read`](Call::read), or it has more.
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, Failure> {
        let announced = match &self.progress {
            Progress::Body(body) => body.size_hint().lower(),
            _ => 0,
        };
        if announced > limit as u64 {
            return Err(Failure::TooLarge(self.origin.to_string()));
        }
        let mut whole = BytesMut::new();
        while let Some(data) = self.read().await? {
            if data.len() > limit - whole.len() {
                return Err(Failure::TooLarge(self.origin.to_string()));
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }

    /// Wait until it is known how the request ended.
    async fn arrive(&mut self) -> Option<&Result<Response<Incoming>, Failure>> {
        if let Progress::Head(response) = &mut self.progress {
            // A task that was aborted or panicked has no response.
            let arrived = response.await.unwrap_or(Err(Failure::Closed));
            self.progress = Progress::Arrived(arrived);
        }
        match &self.progress {
            Progress::Arrived(arrived) => Some(arrived),
            _ => None,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Without it the body would seem complete to the server.
        if let Some(upload) = self.upload.take() {
            upload.abort(Cancelled);
        }
    }
}

async fn exchange(
    pool: Arc<Pool>,
    request: Request<RequestBody>,
    origin: Arc<str>,
    patience: Duration,
) -> Result<Response<Incoming>, Failure> {
    let response = match timeout(patience, pool.request(request)).await {
        Ok(response) => response.map_err(|error| Failure::of(&origin, &error))?,
        Err(_) => return Err(Failure::Timeout(origin.to_string(), "response")),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let why = "the server switches protocols, which nobody asked for".into();
        return Err(Failure::Protocol(origin.to_string(), why));
    }
    // The engine bounds its buffers only, and a head that came in one piece can be larger.
    let fields = response.headers().iter();
    let bytes: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes > HEAD_BYTES_MAX as usize {
        return Err(Failure::TooLarge(origin.to_string()));
    }
    Ok(response)
}

/// The next piece of data that is not empty.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            _ => {}
        }
    }
    Ok(None)
}
