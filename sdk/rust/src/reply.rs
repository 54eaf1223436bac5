//! A reply that the plugin gives instead of the upstream.

use std::any::Any;
use std::fmt;

use crate::{Action, Error, host};

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
        answer(host::reply::set(self.status, &self.headers, &self.body))
    }
}

/// The head of a response whose body is streamed: the host asks
/// [`Plugin::on_reply_body`](crate::Plugin::on_reply_body) for it piece by piece. It may not have
/// a `content-length`.
///
/// ```
/// # use tidegate_sdk::ReplyHead;
/// ReplyHead::new(200).header("content-type", "text/event-stream");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyHead {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
}

impl ReplyHead {
    /// A head without fields. The status is 200-599.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
        }
    }

    /// Add a field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Give it to the host.
    fn begin(&self) -> Action {
        answer(host::reply::begin(self.status, &self.headers))
    }
}

/// The host writes into its log why it refused. This does not, because a plugin that only replies
/// needs no grant for [`log`](crate::log).
fn answer(given: Result<(), Error>) -> Action {
    match given {
        Ok(()) => Action::Respond,
        Err(_) => Action::Fail,
    }
}

/// The end of a streamed reply that cannot be finished: the host cuts the response off, so that the
/// client does not take a part for the whole. Say why through [`log`](crate::log) first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOff;

/// What a call began to stream: the plugin's `ReplyState`, on its way from the phase that replies
/// to the instance. A head does not know its plugin's type, so the type is erased here and checked
/// where it is taken out.
#[derive(Default)]
pub(crate) struct Begun(Option<Box<dyn Any>>);

impl Begun {
    /// A whole reply replaces one that was begun.
    pub(crate) fn send(&mut self, reply: Reply) -> Action {
        self.0 = None;
        reply.send()
    }

    pub(crate) fn begin<S: 'static>(&mut self, head: &ReplyHead, state: S) -> Action {
        let action = head.begin();
        if action == Action::Respond {
            self.0 = Some(Box::new(state));
        }
        action
    }

    pub(crate) fn into_state<S: 'static>(self) -> Option<S> {
        self.0?.downcast().ok().map(|state| *state)
    }
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Begun").field(&self.0.is_some()).finish()
    }
}
