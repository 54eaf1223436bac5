//! What became of an exchange.

use std::time::Duration;

use crate::host::outcome as host;
use crate::{Request, Response};

/// What became of the exchange, for [`Plugin::on_log`](crate::Plugin::on_log).
#[derive(Debug)]
pub struct Outcome {
    response: Response,
}

impl Outcome {
    pub(crate) fn new() -> Self {
        Self {
            response: Response::new(),
        }
    }

    /// The request, to read.
    pub fn request(&self) -> &Request {
        self.response.request()
    }

    /// The response's head, to read. Where there was none, its status is 0 and it has no fields.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// The status that the client got; 0 where it got none.
    pub fn status(&self) -> u16 {
        host::status().unwrap_or(0)
    }

    /// Bytes of the request body that were read from the client.
    pub fn request_bytes(&self) -> u64 {
        host::request_bytes().unwrap_or(0)
    }

    /// Bytes of the response body that were sent to the client.
    pub fn response_bytes(&self) -> u64 {
        host::response_bytes().unwrap_or(0)
    }

    /// From the request's head to the end of the exchange.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(host::duration().unwrap_or(0))
    }

    /// From the request's head to the upstream's response head, where there was one.
    pub fn upstream_wait(&self) -> Option<Duration> {
        let wait = host::upstream_wait().ok().flatten();
        wait.map(Duration::from_nanos)
    }

    /// The upstream that was asked last.
    pub fn upstream(&self) -> Option<String> {
        host::upstream().ok().flatten()
    }

    /// The peer that was asked last.
    pub fn peer(&self) -> Option<String> {
        host::peer().ok().flatten()
    }

    /// How many peers were asked.
    pub fn attempts(&self) -> u32 {
        host::attempts().unwrap_or(0)
    }

    /// What went wrong, as in the access log, where something did.
    pub fn problem(&self) -> Option<String> {
        host::problem().ok().flatten()
    }
}
