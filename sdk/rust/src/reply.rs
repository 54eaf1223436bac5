//! A reply that the plugin gives instead of the upstream.

use crate::{Action, host, log};

/// A whole response: status, header fields and body. The proxy adds `content-length`.
///
/// ```
/// # use tidegate_sdk::Reply;
/// Reply::new(429).header("retry-after", "1").text("slow down\n");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// A reply without fields and body. The status is 200-599.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Add a field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A body of plain text.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.body("text/plain; charset=utf-8", text.into())
    }

    /// A body, at most 1 MiB, and its `content-type`.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// Give it to the host.
    pub(crate) fn send(self) -> Action {
        match host::reply::set(self.status, &self.headers, &self.body) {
            Ok(()) => Action::Respond,
            Err(error) => {
                let status = self.status;
                log::error!("the host refused a reply with status {status}: {error}");
                Action::Fail
            }
        }
    }
}
