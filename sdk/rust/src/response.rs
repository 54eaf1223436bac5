//! The response's head.

use crate::host::body;
use crate::host::response as host;
use crate::{Action, Edits, Error, HeaderValue, Plugin, Reply, ReplyHead, Request, Upstream};

/// The head of the current response: the upstream's, or one that the proxy made itself. It stays
/// in the host: each method asks for what it names.
#[derive(Debug)]
pub struct Response {
    pub(crate) request: Request,
    upstream: Upstream,
}

impl Response {
    pub(crate) fn new() -> Self {
        Self {
            request: Request::new(),
            upstream: Upstream::new(),
        }
    }

    /// The request that this answers, to read.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The upstream that was asked, to read.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The status, 200-599. (0 in `on_log` after an exchange that had no response.)
    pub fn status(&self) -> u16 {
        host::status().unwrap_or(0)
    }

    /// Change the status.
    ///
    /// # Errors
    ///
    /// A status outside 200-599, or one that forbids a body (204, 304) where a body follows.
    pub fn set_status(&mut self, status: u16) -> Result<(), Error> {
        host::set_status(status)
    }

    /// As [`Request::header`], but several values of `set-cookie` are not joined: the first is
    /// given.
    pub fn header(&self, name: &str) -> Option<HeaderValue> {
        host::header(name).ok().flatten().map(HeaderValue::from)
    }

    /// Every value of a field, in order.
    pub fn header_values(&self, name: &str) -> Vec<HeaderValue> {
        let values = host::header_values(name).unwrap_or_default();
        values.into_iter().map(HeaderValue::from).collect()
    }

    /// The names of all fields, each once, lower case, in order of first appearance.
    pub fn header_names(&self) -> Vec<String> {
        host::header_names().unwrap_or_default()
    }

    /// Set a field to one value.
    ///
    /// # Errors
    ///
    /// As for [`Request::set_header`].
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        host::set_header(name, value.as_ref())
    }

    /// Add a value to a field.
    ///
    /// # Errors
    ///
    /// As for [`Request::set_header`].
    pub fn append_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        host::append_header(name, value.as_ref())
    }

    /// Remove a field; nothing happens where it is absent.
    ///
    /// # Errors
    ///
    /// As for [`Request::set_header`].
    pub fn remove_header(&mut self, name: &str) -> Result<(), Error> {
        host::remove_header(name)
    }

    /// Several edits in one call, in order.
    ///
    /// # Errors
    ///
    /// As for [`Request::edit`].
    pub fn edit(&mut self, edits: &Edits) -> Result<(), Error> {
        host::edit_headers(edits.as_slice())
    }

    /// Do not call [`Plugin::on_response_body`] in this exchange: when the type of the content, for
    /// example, says that there is nothing to do. The length of the response then stays known.
    ///
    /// # Errors
    ///
    /// [`Error::WrongPhase`] after the head.
    pub fn skip_body(&mut self) -> Result<(), Error> {
        body::skip_response()
    }

    /// Replace the whole response, body included: `return response.respond(Reply::new(502));`.
    ///
    /// Answers [`Action::Respond`], or [`Action::Fail`] where the host refuses the reply; the proxy's
    /// log says why.
    pub fn respond(&mut self, reply: Reply) -> Action {
        self.request.begun.send(reply)
    }

    /// As [`respond`](Self::respond), with a body that [`Plugin::on_reply_body`] makes piece by
    /// piece. Say whose state it is: `response.respond_streaming::<Self>(head, state)`.
    pub fn respond_streaming<P: Plugin>(
        &mut self,
        head: ReplyHead,
        state: P::ReplyState,
    ) -> Action {
        self.request.begun.begin(&head, state)
    }
}
