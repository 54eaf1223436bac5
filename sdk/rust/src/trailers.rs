//! The trailers of the response.

use crate::host::trailers as host;
use crate::{Edits, Error, HeaderValue, Response};

/// The fields that the upstream sent after the body (RFC 9110 §6.5). They stay in the host: each
/// method asks for what it names.
#[derive(Debug)]
pub struct Trailers {
    response: Response,
}

impl Trailers {
    pub(crate) fn new() -> Self {
        Self {
            response: Response::new(),
        }
    }

    /// The response that they end, to read.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// As [`Response::header`].
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
    /// As for [`Request::set_header`](crate::Request::set_header).
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        host::set_header(name, value.as_ref())
    }

    /// Add a value to a field.
    ///
    /// # Errors
    ///
    /// As for [`Request::set_header`](crate::Request::set_header).
    pub fn append_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        host::append_header(name, value.as_ref())
    }

    /// Remove a field; nothing happens where it is absent.
    ///
    /// # Errors
    ///
    /// As for [`Request::set_header`](crate::Request::set_header).
    pub fn remove_header(&mut self, name: &str) -> Result<(), Error> {
        host::remove_header(name)
    }

    /// Several edits in one call, in order.
    ///
    /// # Errors
    ///
    /// As for [`Request::edit`](crate::Request::edit).
    pub fn edit(&mut self, edits: &Edits) -> Result<(), Error> {
        host::edit_headers(edits.as_slice())
    }
}
