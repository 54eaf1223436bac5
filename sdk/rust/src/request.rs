//! The request's head.

use crate::host::body;
use crate::host::request as host;
use crate::reply::Begun;
use crate::{Action, Edits, Error, HeaderValue, Plugin, Reply, ReplyHead};

/// The head of the current request. It stays in the host: each method asks for what it names.
#[derive(Debug)]
pub struct Request {
    pub(crate) begun: Begun,
}

impl Request {
    pub(crate) fn new() -> Self {
        Self {
            begun: Begun::default(),
        }
    }

    /// The method as sent, such as `GET`. Methods are case-sensitive (RFC 9110 §9.1).
    pub fn method(&self) -> String {
        host::method()
    }

    /// `http` or `https`, as the client used it.
    pub fn scheme(&self) -> String {
        host::scheme()
    }

    /// The host that the client asked for: lower case, without the port.
    pub fn host(&self) -> String {
        host::host()
    }

    /// The normalised path (RFC 3986 §6.2.2): what was routed and what is forwarded.
    pub fn path(&self) -> String {
        host::path()
    }

    /// The query without the question mark, as sent. `None` when there is no question mark.
    pub fn query(&self) -> Option<String> {
        host::query()
    }

    /// The value of a field. Several values are joined by `, ` (RFC 9110 §5.3), of `cookie` by
    /// `; ` (RFC 9113 §8.2.3).
    pub fn header(&self, name: &str) -> Option<HeaderValue> {
        host::header(name).map(HeaderValue::from)
    }

    /// Every value of a field, in order.
    pub fn header_values(&self, name: &str) -> Vec<HeaderValue> {
        let values = host::header_values(name);
        values.into_iter().map(HeaderValue::from).collect()
    }

    /// The names of all fields, each once, lower case, in order of first appearance.
    pub fn header_names(&self) -> Vec<String> {
        host::header_names()
    }

    /// Set a field to one value.
    ///
    /// # Errors
    ///
    /// A name or value that HTTP does not allow, a field that the proxy keeps for itself, or a head
    /// that grows too large; then nothing changed.
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        host::set_header(name, value.as_ref())
    }

    /// Add a value to a field.
    ///
    /// # Errors
    ///
    /// As for [`set_header`](Self::set_header).
    pub fn append_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        host::append_header(name, value.as_ref())
    }

    /// Remove a field; nothing happens where it is absent.
    ///
    /// # Errors
    ///
    /// As for [`set_header`](Self::set_header).
    pub fn remove_header(&mut self, name: &str) -> Result<(), Error> {
        host::remove_header(name)
    }

    /// Several edits in one call, in order.
    ///
    /// # Errors
    ///
    /// As for [`set_header`](Self::set_header), of the first edit that is refused; those before it
    /// stay.
    pub fn edit(&mut self, edits: &Edits) -> Result<(), Error> {
        host::edit_headers(edits.as_slice())
    }

    /// Say now what is to be done to this exchange's response: the host makes these edits at the plugin's turn, in
    /// place of calling [`Plugin::on_response`] and of what [`Interest::edit_response`](crate::Interest::edit_response)
    /// declared, which costs a fraction of a call. The last list counts. An edit that is refused then, as when the
    /// head has no room left, is left out; the proxy's log says so.
    ///
    /// ```
    /// # use tidegate_sdk::prelude::*;
    /// # use tidegate_sdk::testing::{Exchange, Instance};
    /// # #[derive(Deserialize)]
    /// # struct Timing {}
    /// # #[plugin]
    /// # impl Plugin for Timing {
    /// fn on_request(&self, request: &mut Request) -> Action {
    ///     let mut edits = Edits::new();
    ///     edits.set("x-asked-for", request.path());
    ///     request.prepare_response(&edits).map_or(Action::Fail, |()| Action::Proceed)
    /// }
    /// # }
    /// # let mut timing = Instance::<Timing>::configure("{}").unwrap();
    /// # let mut exchange = Exchange::get("/a");
    /// # timing.on_request(&mut exchange);
    /// # timing.on_response(&mut exchange);
    /// # assert_eq!(exchange.response_header("x-asked-for").unwrap(), "/a");
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`edit`](Self::edit), and then none of them is made; [`Error::LimitReached`] where they are larger than
    /// any head may be; [`Error::WrongPhase`] once there is a response.
    pub fn prepare_response(&mut self, edits: &Edits) -> Result<(), Error> {
        crate::host::response::prepare_edits(edits.as_slice())
    }

    /// Change the path that is forwarded: it begins with `/`, is percent-encoded, and has no query.
    /// The route stays the one that was found for the client's path.
    ///
    /// # Errors
    ///
    /// Not such a path, or the request was sent.
    pub fn set_path(&mut self, path: &str) -> Result<(), Error> {
        host::set_path(path)
    }

    /// Change the query that is forwarded, percent-encoded and without the question mark; `None`
    /// for no query.
    ///
    /// # Errors
    ///
    /// Not such a query, or the request was sent.
    pub fn set_query(&mut self, query: Option<&str>) -> Result<(), Error> {
        host::set_query(query)
    }

    /// Change the `Host` that the upstream gets: a host, and a port where it needs one.
    /// [`host`](Self::host) stays what the client asked for.
    ///
    /// # Errors
    ///
    /// Not a host, or the request was sent.
    pub fn set_host(&mut self, host: &str) -> Result<(), Error> {
        host::set_host(host)
    }

    /// Do not call [`Plugin::on_request_body`] in this exchange.
    ///
    /// # Errors
    ///
    /// [`Error::WrongPhase`] after the head.
    pub fn skip_body(&mut self) -> Result<(), Error> {
        body::skip_request()
    }

    /// Answer the client instead of the upstream: `return request.respond(Reply::new(403));`.
    ///
    /// Answers [`Action::Respond`], or [`Action::Fail`] where the host refuses the reply; the proxy's
    /// log says why.
    pub fn respond(&mut self, reply: Reply) -> Action {
        self.begun.send(reply)
    }

    /// As [`respond`](Self::respond), with a body that [`Plugin::on_reply_body`] makes piece by
    /// piece. Say whose state it is: `request.respond_streaming::<Self>(head, state)`.
    pub fn respond_streaming<P: Plugin>(
        &mut self,
        head: ReplyHead,
        state: P::ReplyState,
    ) -> Action {
        self.begun.begin(&head, state)
    }
}
