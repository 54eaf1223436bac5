//! One request and its response, as a test builds it and looks at it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fields::Fields;
use super::imports::limiter::Key;
use super::phase::Phase;
use crate::attributes::Value;
use crate::bindings::host::tidegate::plugin::interest::{DeclaredEdit, Part};
use crate::bindings::host::tidegate::plugin::types::Edit;
use crate::{Action, Reply};

/// One request, its attributes and its response.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub(super) request: RequestHead,
    pub(super) attempts: Vec<Attempt>,
    pub(super) status: u16,
    pub(super) response: Fields,
    pub(super) trailers: Fields,
    /// What plugins want done to the response at their turn, by the host that they are in.
    pub(super) prepared: BTreeMap<usize, Vec<Edit>>,
    pub(super) attributes: BTreeMap<String, Value>,
    pub(super) reply: Option<Reply>,
    /// The group that the route names.
    pub(super) route_upstream: String,
    /// The group that is asked.
    pub(super) upstream: String,
    /// The peer that was chosen.
    pub(super) peer: Option<String>,
    pub(super) skips_request_body: bool,
    pub(super) skips_response_body: bool,
    pub(super) facts: Facts,
    /// The places of the limiter that it took.
    pub(super) places: Vec<(Key, u64)>,
}

/// A request's head.
#[derive(Clone, Debug)]
pub(super) struct RequestHead {
    pub(super) method: String,
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    /// The `Host` that the upstream gets, where it is another.
    pub(super) upstream_host: Option<String>,
    pub(super) fields: Fields,
}

/// The request as one peer got it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub(super) peer: String,
    pub(super) head: RequestHead,
}

impl Attempt {
    /// Who was asked.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// The path and the query.
    pub fn target(&self) -> String {
        self.head.target()
    }

    /// The `Host`.
    pub fn host(&self) -> &str {
        self.head.forwarded_host()
    }

    /// A field as text; several values are joined by `, `.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.fields.text(name)
    }
}

impl RequestHead {
    fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    fn forwarded_host(&self) -> &str {
        self.upstream_host.as_deref().unwrap_or(&self.host)
    }
}

/// What the phase `on_log` is told.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The status that the client got; 0 where it got none.
    pub status: u16,
    /// Bytes of the request body.
    pub request_bytes: u64,
    /// Bytes of the response body.
    pub response_bytes: u64,
    /// How long the exchange took.
    pub duration: Duration,
    /// How long the upstream's response head took.
    pub upstream_wait: Option<Duration>,
    /// The upstream that was asked last.
    pub upstream: Option<String>,
    /// The peer that was asked last.
    pub peer: Option<String>,
    /// How many peers were asked.
    pub attempts: u32,
    /// What went wrong.
    pub problem: Option<String>,
}

/// What phases work on.
impl Exchange {
    /// The request's head, or that of the last attempt.
    pub(super) fn head(&self, attempt: bool) -> &RequestHead {
        let last = self.attempts.last().filter(|_| attempt);
        last.map_or(&self.request, |attempt| &attempt.head)
    }

    pub(super) fn head_mut(&mut self, attempt: bool) -> &mut RequestHead {
        match self.attempts.last_mut() {
            Some(last) if attempt => &mut last.head,
            _ => &mut self.request,
        }
    }

    /// Make the edits that the plugin declared in place of a call.
    pub(super) fn make(&mut self, edits: &[DeclaredEdit], phase: Phase) -> Action {
        let edits: Vec<Edit> = edits.iter().map(|edit| self.of_this(edit)).collect();
        let fields = match phase {
            Phase::ResponseHead => &mut self.response,
            _ => &mut self.request.fields,
        };
        match fields.edit_all(&edits) {
            Ok(()) => Action::Proceed,
            Err(_) => Action::Fail,
        }
    }

    fn of_this(&self, edit: &DeclaredEdit) -> Edit {
        let value = |parts: &[Part]| -> Vec<u8> {
            let text = |name: &String| {
                self.attributes
                    .get(name)
                    .map(super::imports::attributes::as_text)
            };
            let parts = parts.iter().map(|part| match part {
                Part::Bytes(bytes) => bytes.clone(),
                Part::Attribute(name) => text(name).unwrap_or_default().into_bytes(),
            });
            parts.collect::<Vec<_>>().concat()
        };
        match edit {
            DeclaredEdit::Set((name, parts)) => Edit::Set((name.clone(), value(parts))),
            DeclaredEdit::Append((name, parts)) => Edit::Append((name.clone(), value(parts))),
            DeclaredEdit::Remove(name) => Edit::Remove(name.clone()),
        }
    }

    /// A fresh copy of the head for the next peer: the chosen one first, then the next in turn.
    pub(super) fn begin_attempt(&mut self, peers: &[String]) {
        let chosen = peers
            .iter()
            .position(|peer| Some(peer) == self.peer.as_ref());
        let next = chosen.unwrap_or(0) + self.attempts.len();
        let peer = peers.iter().cycle().nth(next).cloned();
        self.attempts.push(Attempt {
            peer: peer.unwrap_or_default(),
            head: self.request.clone(),
        });
    }
}

/// Building.
impl Exchange {
    /// A request with this method and target: a path with or without a query, such as `/a?b=c`.
    /// It comes from `192.0.2.1`, asks for the host `example.com` over `http`, and the built-in
    /// attributes are set accordingly.
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self {
            request: RequestHead {
                method: method.to_owned(),
                scheme: "http".to_owned(),
                host: "example.com".to_owned(),
                path: path.to_owned(),
                query,
                upstream_host: None,
                fields: Fields::default(),
            },
            attempts: Vec::new(),
            status: 200,
            response: Fields::default(),
            trailers: Fields::default(),
            prepared: BTreeMap::new(),
            attributes: built_in(),
            reply: None,
            route_upstream: "app".to_owned(),
            upstream: "app".to_owned(),
            peer: None,
            skips_request_body: false,
            skips_response_body: false,
            facts: Facts::default(),
            places: Vec::new(),
        }
    }

    /// A `GET` request.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Another host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.request.host);
        self
    }

    /// Another scheme: `https`.
    #[must_use]
    pub fn scheme(mut self, scheme: &str) -> Self {
        scheme.clone_into(&mut self.request.scheme);
        self
    }

    /// Add a request field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request.fields.append(name, value.as_ref());
        self
    }

    /// Set an attribute, as the proxy or an earlier plugin would; built-in ones too.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// Remove an attribute.
    #[must_use]
    pub fn without_attribute(mut self, name: &str) -> Self {
        self.attributes.remove(name);
        self
    }

    /// The upstream's response, for the response phase.
    #[must_use]
    pub fn response(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        self.status = status;
        self.response = Fields::default();
        for (name, value) in headers {
            self.response.append(name, value.as_bytes());
        }
        self
    }

    /// The upstream's trailers, for the phase of response trailers.
    #[must_use]
    pub fn trailers(mut self, trailers: &[(&str, &str)]) -> Self {
        self.trailers = Fields::default();
        for (name, value) in trailers {
            self.trailers.append(name, value.as_bytes());
        }
        self
    }

    /// The route's upstream, one of [`Host::add_upstream`](super::Host::add_upstream); `app` where
    /// this is not called.
    #[must_use]
    pub fn route_upstream(mut self, group: &str) -> Self {
        group.clone_into(&mut self.route_upstream);
        group.clone_into(&mut self.upstream);
        self
    }
}

/// Looking.
impl Exchange {
    /// The path and the query that are forwarded.
    pub fn request_target(&self) -> String {
        self.request.target()
    }

    /// The `Host` that is forwarded.
    pub fn request_host(&self) -> &str {
        self.request.forwarded_host()
    }

    /// A request field as text; several values are joined by `, `.
    pub fn request_header(&self, name: &str) -> Option<String> {
        self.request.fields.text(name)
    }

    /// All request fields in order, values as text.
    pub fn request_headers(&self) -> Vec<(String, String)> {
        self.request.fields.all()
    }

    /// A response field as text; several values are joined by `, `.
    pub fn response_header(&self, name: &str) -> Option<String> {
        self.response.text(name)
    }

    /// All response fields in order, values as text.
    pub fn response_headers(&self) -> Vec<(String, String)> {
        self.response.all()
    }

    /// The response's status.
    pub fn response_status(&self) -> u16 {
        self.status
    }

    /// A trailer as text; several values are joined by `, `.
    pub fn trailer(&self, name: &str) -> Option<String> {
        self.trailers.text(name)
    }

    /// The upstream that is asked: the route's, or the one that the plugin chose.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// The peer that the plugin chose to be asked first.
    pub fn chosen_peer(&self) -> Option<&str> {
        self.peer.as_deref()
    }

    /// The request as each peer got it, in the order of
    /// [`Instance::on_upstream_request`](super::Instance::on_upstream_request).
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// An attribute.
    pub fn attribute_value(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name)
    }

    /// The reply that the plugin gave, if it did. Where it streams, this is its head; its body
    /// comes from [`Instance::on_reply_body`](super::Instance::on_reply_body).
    pub fn reply(&self) -> Option<&Reply> {
        self.reply.as_ref()
    }
}

fn built_in() -> BTreeMap<String, Value> {
    [
        ("client.address", Value::from("192.0.2.1")),
        ("client.port", Value::from(50_000)),
        ("peer.address", Value::from("192.0.2.1")),
        ("listener", Value::from("test")),
        ("route", Value::from("test")),
        ("request.id", Value::from("test-request")),
        ("request.protocol", Value::from("HTTP/1.1")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
