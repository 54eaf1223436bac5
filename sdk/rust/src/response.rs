//! The response's head.

use crate::host::response as host;
use crate::{Action, Edits, Error, HeaderValue, Reply, Request};

/// The head of the current response: the upstream's, or one that the proxy made itself. It stays
/// in the host: each method asks for what it names.
#[derive(Debug)]
pub struct Response {
    request: Request,
}

impl Response {
    pub(crate) fn new() -> Self {
        Self {
            request: Request::new(),
        }
    }

    /// The request that this answers, to read.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The status, 200-599. (0 from a host that has none, which does not happen in this phase.)
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

    /// Replace the whole response, body included: `return response.respond(Reply::new(502));`.
    ///
    /// Answers [`Action::Respond`], or [`Action::Fail`] and a line in the log where the host
    /// refuses the reply.
    pub fn respond(&mut self, reply: Reply) -> Action {
        reply.send()
    }
}
