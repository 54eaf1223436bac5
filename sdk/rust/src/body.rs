//! What the body phases get: a piece of a body, its place and what the plugin keeps between pieces.

use std::cell::Cell;
use std::fmt;

use crate::{BodyAction, BodyMode, Error, Plugin, Reply, ReplyHead, Request, Response, host};

/// Data of the request's body, for [`Plugin::on_request_body`].
///
/// `S` is the plugin's [`RequestBodyState`](Plugin::RequestBodyState); `RequestBody` alone is one
/// without state.
#[non_exhaustive]
pub struct RequestBody<S = ()> {
    /// The request's head: readable always, editable while it waits
    /// ([`BodyMode::Buffer`] and [`BodyMode::Peek`]).
    pub request: Request,
    /// The data: the next piece, the whole body or its beginning, by the mode.
    pub data: Vec<u8>,
    /// Whether the body ends with this data.
    pub end: bool,
    /// What the plugin keeps from piece to piece of this body.
    pub state: S,
    skipped: bool,
}

/// Data of the response's body, for [`Plugin::on_response_body`].
///
/// `S` is the plugin's [`ResponseBodyState`](Plugin::ResponseBodyState); `ResponseBody` alone is one
/// without state.
#[non_exhaustive]
pub struct ResponseBody<S = ()> {
    /// The response's head: readable always, editable while it waits
    /// ([`BodyMode::Buffer`] and [`BodyMode::Peek`]).
    pub response: Response,
    /// The data: the next piece, the whole body or its beginning, by the mode.
    pub data: Vec<u8>,
    /// Whether the body ends with this data.
    pub end: bool,
    /// What the plugin keeps from piece to piece of this body.
    pub state: S,
    skipped: bool,
}

impl<S> RequestBody<S> {
    pub(crate) fn new(data: Vec<u8>, end: bool, state: S) -> Self {
        Self {
            request: Request::new(),
            data,
            end,
            state,
            skipped: false,
        }
    }

    /// Do not call the plugin for the rest of this body: it passes unseen. The state is dropped
    /// after this call.
    ///
    /// # Errors
    ///
    /// The host refuses; then the calls go on.
    pub fn skip_rest(&mut self) -> Result<(), Error> {
        host::body::skip_request()?;
        self.skipped = true;
        Ok(())
    }

    /// Answer the client instead of the upstream, as [`Request::respond`]. Works until the response
    /// has begun.
    pub fn respond(&mut self, reply: Reply) -> BodyAction {
        self.request.respond(reply).into()
    }

    /// Answer the client with a streamed body, as [`Request::respond_streaming`].
    pub fn respond_streaming<P: Plugin>(
        &mut self,
        head: ReplyHead,
        state: P::ReplyState,
    ) -> BodyAction {
        self.request.respond_streaming::<P>(head, state).into()
    }

    /// Whether this was the last call for the body.
    pub(crate) fn is_over(&self, action: &BodyAction) -> bool {
        self.end || self.skipped || ends(action)
    }
}

impl<S> ResponseBody<S> {
    pub(crate) fn new(data: Vec<u8>, end: bool, state: S) -> Self {
        Self {
            response: Response::new(),
            data,
            end,
            state,
            skipped: false,
        }
    }

    /// The request that this answers, to read.
    pub fn request(&self) -> &Request {
        self.response.request()
    }

    /// Do not call the plugin for the rest of this body: it passes unseen. The state is dropped
    /// after this call.
    ///
    /// # Errors
    ///
    /// The host refuses; then the calls go on.
    pub fn skip_rest(&mut self) -> Result<(), Error> {
        host::body::skip_response()?;
        self.skipped = true;
        Ok(())
    }

    /// Replace the whole response, as [`Response::respond`]. Works only while the head waits
    /// ([`BodyMode::Buffer`] and [`BodyMode::Peek`]).
    pub fn respond(&mut self, reply: Reply) -> BodyAction {
        self.response.respond(reply).into()
    }

    /// Replace the whole response by one with a streamed body, as [`Response::respond_streaming`].
    pub fn respond_streaming<P: Plugin>(
        &mut self,
        head: ReplyHead,
        state: P::ReplyState,
    ) -> BodyAction {
        self.response.respond_streaming::<P>(head, state).into()
    }

    /// Whether this was the last call for the body.
    pub(crate) fn is_over(&self, action: &BodyAction) -> bool {
        self.end || self.skipped || ends(action)
    }
}

fn ends(action: &BodyAction) -> bool {
    matches!(action, BodyAction::Respond | BodyAction::Fail)
}

/// The plugin's state of one body, between two calls.
///
/// Only streaming has several calls, on an instance that the exchange keeps for itself. In the other
/// modes the next call may be for another exchange.
pub(crate) struct BodyState<S> {
    streaming: bool,
    between: Cell<Option<S>>,
}

impl<S: Default> BodyState<S> {
    pub(crate) fn new(mode: BodyMode) -> Self {
        Self {
            streaming: mode == BodyMode::Streaming,
            between: Cell::new(None),
        }
    }

    /// For the next call: what the last one left, or a new one at the start of a body.
    pub(crate) fn take(&self) -> S {
        self.between.take().unwrap_or_default()
    }

    pub(crate) fn keep(&self, state: S, over: bool) {
        if self.streaming && !over {
            self.between.set(Some(state));
        }
    }
}

impl BodyAction {
    /// Send this instead of the data; nothing, where it is empty.
    pub fn replace(data: impl Into<Vec<u8>>) -> Self {
        Self::Replace(data.into())
    }

    /// Let the data pass, and send this after it.
    pub fn append(data: impl Into<Vec<u8>>) -> Self {
        Self::Append(data.into())
    }
}

/// What `respond` answers, in a body phase.
impl From<crate::Action> for BodyAction {
    fn from(action: crate::Action) -> Self {
        match action {
            crate::Action::Proceed => Self::Pass,
            crate::Action::Respond => Self::Respond,
            crate::Action::Fail => Self::Fail,
        }
    }
}

/// Without the data, which may be anybody's, and without the state, which may have no `Debug`.
impl<S> fmt::Debug for RequestBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        piece(f, "RequestBody", &self.data, self.end)
    }
}

impl<S> fmt::Debug for ResponseBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        piece(f, "ResponseBody", &self.data, self.end)
    }
}

fn piece(f: &mut fmt::Formatter<'_>, name: &str, data: &[u8], end: bool) -> fmt::Result {
    f.debug_struct(name)
        .field("bytes", &data.len())
        .field("end", &end)
        .finish_non_exhaustive()
}
