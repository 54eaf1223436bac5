//! One request and its response, as plugins see them.

use crate::edit::{Undo, bodiless, field_name, field_value};
use crate::upstream::Upstreams;
use crate::{
    Attributes, CheckedEdit, Kept, Outcome, Phase, Refusal, RequestHead, ResponseHead, Stage, Value,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use std::any::Any;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

/// One request and its response.
///
/// The data path owns it, moves the heads in before it runs the chain and takes them out after.
pub struct Exchange {
    /// Where it is; moved on by the data path.
    pub stage: Stage,
    /// The phase whose plugins are being called; `None` outside the chain.
    pub phase: Option<Phase>,
    /// The request's head; in [`Phase::UpstreamRequest`] the copy that goes to the peer.
    pub request: Box<dyn RequestHead>,
    /// The response's head, from [`Phase::ResponseHead`] on.
    pub response: Option<Box<dyn ResponseHead>>,
    /// The response's trailers, in [`Phase::ResponseTrailers`].
    pub trailers: Option<HeaderMap>,
    /// What a plugin wants to answer; taken by the chain.
    pub reply: Option<Reply>,
    /// Typed values of plugins.
    pub attributes: Attributes,
    /// What the proxy knows of the exchange.
    pub facts: Arc<Facts>,
    /// The upstream that is asked, and which may be.
    pub upstreams: Upstreams,
    /// What became of it, in [`Phase::Log`].
    pub outcome: Option<Outcome>,
    /// What plugins decided, other than to go on: for the access log.
    pub notes: Vec<Note>,
    /// How large heads may become.
    pub limits: HeadLimits,
    /// What lasts as long as the exchange and is given back by being dropped, such as a place that
    /// a limiter gave.
    pub leases: Vec<Box<dyn Any + Send + Sync>>,
    /// What a plugin said in this call about the bodies that it does not want to see.
    pub skips: Skips,
    /// What the plugin that is being called wants done to the response.
    pub(crate) preparing: Option<Box<[CheckedEdit]>>,
    /// What plugins wanted done to the response, by the plugin's place in the chain.
    pub(crate) prepared: Vec<(usize, Box<[CheckedEdit]>)>,
    /// Instances that this exchange keeps, by the plugin's place in the chain.
    pub(crate) kept: Vec<(usize, Kept)>,
    pub(crate) undo: Option<Vec<Undo>>,
}

/// Bodies that a plugin does not want to see (any more).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skips {
    /// The request's.
    pub request: bool,
    /// The response's.
    pub response: bool,
}

/// Which fields an edit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The request's.
    Request,
    /// The response's.
    Response,
    /// The response's trailers.
    Trailers,
}

/// What the proxy knows of an exchange; plugins read it as built-in attributes.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The client, taken from forwarding fields only where the listener trusts the peer. `None` on a
    /// Unix socket.
    pub client: Option<SocketAddr>,
    /// Who is connected. `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// The listener's name.
    pub listener: Arc<str>,
    /// The route's name.
    pub route: Arc<str>,
    /// The request's id, as sent upstream in `x-request-id`.
    pub request_id: Box<str>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host asked for: lower case, no port.
    pub host: Box<str>,
    /// Such as `HTTP/1.1`.
    pub protocol: &'static str,
    /// What is known of the connection: attributes whose names begin with `tls.` or `proxy.`.
    pub connection: Arc<[(Box<str>, Value)]>,
}

/// Bounds of a head that a plugin edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Fields.
    pub count: usize,
    /// Bytes of all names and values.
    pub bytes: usize,
}

/// A decision of a plugin other than to go on, or what came of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The plugin.
    pub plugin: Arc<str>,
    /// The phase.
    pub phase: Phase,
    /// `respond`, the kind of failure such as `trap`, or [`Note::LEFT_OUT`].
    pub what: &'static str,
    /// What happened, but of `respond`.
    pub message: Option<String>,
}

impl Note {
    /// What happened, where an edit that the plugin had prepared could not be made.
    pub const LEFT_OUT: &'static str = "left-out";
}

/// A response that the proxy gives by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The status, 200–599.
    pub status: StatusCode,
    /// The fields, without those that frame the message.
    pub headers: HeaderMap,
    /// The body; the data path adds its length.
    pub body: Bytes,
    /// Instead of `body`: the place in the chain of the plugin that gives the body in pieces, in
    /// [`Phase::ReplyBody`].
    pub pieces: Option<usize>,
}

impl Reply {
    /// The largest body that a plugin can reply with.
    pub const BODY_BYTES_MAX: usize = 1024 * 1024;

    /// A reply with a line of text.
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        Reply {
            status,
            headers,
            body: body.into(),
            pieces: None,
        }
    }

    /// What a plugin asked for, checked.
    ///
    /// # Errors
    /// A status outside 200–599, a field that is not one or that the proxy keeps, too many fields, a
    /// body over [`Reply::BODY_BYTES_MAX`] or one with a status that has none.
    pub fn checked<'a>(
        status: u16,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        body: &[u8],
        limits: HeadLimits,
    ) -> Result<Reply, Refusal> {
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|s| (200..600).contains(&s.as_u16()))
            .ok_or(Refusal::InvalidArgument)?;
        if body.len() > Self::BODY_BYTES_MAX {
            return Err(Refusal::LimitReached);
        }
        let without_body = matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        );
        if without_body && !body.is_empty() {
            return Err(Refusal::InvalidArgument);
        }
        let mut headers = HeaderMap::new();
        let mut bytes = 0;
        for (name, value) in fields {
            bytes += name.len() + value.len();
            if headers.len() >= limits.count || bytes > limits.bytes {
                return Err(Refusal::LimitReached);
            }
            headers.append(field_name(name)?, field_value(value)?);
        }
        Ok(Reply {
            status,
            headers,
            body: Bytes::copy_from_slice(body),
            pieces: None,
        })
    }
}

impl Exchange {
    /// An exchange at its start.
    pub fn new(request: Box<dyn RequestHead>, facts: Arc<Facts>, limits: HeadLimits) -> Exchange {
        Exchange {
            stage: Stage::default(),
            phase: None,
            request,
            response: None,
            trailers: None,
            reply: None,
            attributes: Attributes::default(),
            facts,
            upstreams: Upstreams::default(),
            outcome: None,
            notes: Vec::new(),
            limits,
            leases: Vec::new(),
            skips: Skips::default(),
            preparing: None,
            prepared: Vec::new(),
            kept: Vec::new(),
            undo: None,
        }
    }

    /// The instance that this exchange keeps of the plugin at a place of the chain.
    pub fn take_kept(&mut self, place: usize) -> Option<Kept> {
        let position = self.kept.iter().position(|(of, _)| *of == place)?;
        Some(self.kept.swap_remove(position).1)
    }

    /// Keep an instance until the exchange is over.
    pub fn keep(&mut self, place: usize, instance: Kept) {
        self.kept.push((place, instance));
    }

    /// Do not show a body of this exchange to the plugin that is being called (any more).
    ///
    /// # Errors
    /// [`Refusal::WrongPhase`] where that body is over, or not the plugin's any more.
    pub fn skip_body(&mut self, target: Target) -> Result<(), Refusal> {
        let early = matches!(
            self.phase,
            Some(Phase::RequestHead | Phase::RequestBody | Phase::UpstreamChoice)
        );
        let late = matches!(self.phase, Some(Phase::ResponseHead | Phase::ResponseBody));
        match target {
            Target::Request if early => self.skips.request = true,
            Target::Response if early || late => self.skips.response = true,
            _ => return Err(Refusal::WrongPhase),
        }
        Ok(())
    }

    /// Make these edits of the response at the turn of the plugin that is being called, in its place.
    ///
    /// # Errors
    /// [`Refusal::WrongPhase`] where it is too late for that, [`Refusal::LimitReached`] where no head has room for them.
    pub fn prepare_edits(&mut self, edits: Box<[CheckedEdit]>) -> Result<(), Refusal> {
        let phase = self.phase.ok_or(Refusal::WrongPhase)?;
        if !self.stage.may_prepare(phase) {
            return Err(Refusal::WrongPhase);
        }
        if edits.iter().map(CheckedEdit::bytes).sum::<usize>() > self.limits.bytes {
            return Err(Refusal::LimitReached);
        }
        self.preparing = Some(edits);
        Ok(())
    }

    /// What the plugin at `place` prepared counts, in place of what it prepared before.
    pub(crate) fn settle_prepared(&mut self, place: usize) {
        if let Some(edits) = self.preparing.take() {
            self.prepared.retain(|(of, _)| *of != place);
            self.prepared.push((place, edits));
        }
    }

    /// What the plugin at `place` prepared for the response.
    pub(crate) fn take_prepared(&mut self, place: usize) -> Option<Box<[CheckedEdit]>> {
        let position = self.prepared.iter().position(|(of, _)| *of == place)?;
        Some(self.prepared.swap_remove(position).1)
    }

    /// The fields of a head, where there is one.
    pub fn fields(&self, target: Target) -> Option<&HeaderMap> {
        match target {
            Target::Request => Some(self.request.fields()),
            Target::Response => self.response.as_deref().map(|head| head.fields()),
            Target::Trailers => self.trailers.as_ref(),
        }
    }

    /// Prepare the reply that [`crate::Action::Respond`] sends.
    ///
    /// # Errors
    /// As [`Reply::checked`]; where it is too late for a reply, [`Refusal::WrongPhase`].
    pub fn set_reply<'a>(
        &mut self,
        status: u16,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        body: &[u8],
    ) -> Result<(), Refusal> {
        self.may_reply()?;
        self.reply = Some(Reply::checked(status, fields, body, self.limits)?);
        Ok(())
    }

    /// Prepare a reply whose body the plugin gives in pieces. The chain fills in which plugin that is.
    ///
    /// # Errors
    /// As [`Exchange::set_reply`].
    pub fn begin_reply<'a>(
        &mut self,
        status: u16,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(), Refusal> {
        self.may_reply()?;
        let mut reply = Reply::checked(status, fields, &[], self.limits)?;
        if bodiless(reply.status) {
            return Err(Refusal::InvalidArgument);
        }
        reply.pieces = Some(usize::MAX);
        self.reply = Some(reply);
        Ok(())
    }

    fn may_reply(&self) -> Result<(), Refusal> {
        let phase = self.phase.ok_or(Refusal::WrongPhase)?;
        if self.stage.may_reply(phase) {
            Ok(())
        } else {
            Err(Refusal::WrongPhase)
        }
    }

    /// A built-in attribute, or one that a plugin set.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, Value>> {
        if name == "upstream" {
            let asked = self.upstreams.asked.as_deref()?;
            return Some(Cow::Owned(Value::Text(asked.to_owned())));
        }
        if is_built_in(name) {
            return self.facts.attribute(name).map(Cow::Owned);
        }
        self.attributes.get(name).map(Cow::Borrowed)
    }

    /// The text of such an attribute.
    pub fn attribute_text(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(text) = self.facts.text(name) {
            return Some(text);
        }
        match self.attribute(name)? {
            Cow::Borrowed(value) => Some(value.text()),
            Cow::Owned(value) => Some(Cow::Owned(value.text().into_owned())),
        }
    }
}

impl Facts {
    /// A built-in attribute.
    pub fn attribute(&self, name: &str) -> Option<Value> {
        if let Some(text) = self.text(name) {
            return Some(Value::Text(text.into_owned()));
        }
        if name == "client.port" {
            return Some(Value::Integer(self.client?.port().into()));
        }
        let mut connection = self.connection.iter();
        let (_, value) = connection.find(|(of, _)| **of == *name)?;
        Some(value.clone())
    }

    /// One of those that are text in every exchange.
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        Some(match name {
            "client.address" => Cow::Owned(address(self.client?.ip())),
            "peer.address" => Cow::Owned(address(self.peer?)),
            "listener" => Cow::Borrowed(&self.listener),
            "route" => Cow::Borrowed(&self.route),
            "request.id" => Cow::Borrowed(&self.request_id),
            "request.protocol" => Cow::Borrowed(self.protocol),
            _ => return None,
        })
    }
}

/// An address in its usual form. Plugins ask for it in most requests, and the standard library's formatting of IPv4
/// takes ten times as long as this.
fn address(address: IpAddr) -> String {
    let IpAddr::V4(address) = address.to_canonical() else {
        return address.to_string();
    };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        if octet >= 100 {
            text.push(digit(octet / 100));
        }
        if octet >= 10 {
            text.push(digit(octet / 10 % 10));
        }
        text.push(digit(octet % 10));
    }
    text
}

fn digit(value: u8) -> char {
    char::from(b'0' + value)
}

/// Names that plugins read and cannot set.
pub(crate) fn is_built_in(name: &str) -> bool {
    match name.split_once('.') {
        Some((first, _)) => matches!(first, "client" | "peer" | "proxy" | "request" | "tls"),
        None => matches!(name, "listener" | "route" | "upstream"),
    }
}

/// Facts of which nothing is known yet. Costs no allocation: every request begins with it.
impl Default for Facts {
    fn default() -> Facts {
        static NOTHING: LazyLock<Arc<str>> = LazyLock::new(|| "".into());
        Facts {
            client: None,
            peer: None,
            listener: NOTHING.clone(),
            route: NOTHING.clone(),
            request_id: Box::default(),
            scheme: "http",
            host: Box::default(),
            protocol: "HTTP/1.1",
            connection: Arc::default(),
        }
    }
}

/// An exchange with nothing in it, for a place that holds none at the moment.
impl Default for Exchange {
    fn default() -> Exchange {
        let (request, ()) = http::Request::new(()).into_parts();
        let limits = HeadLimits {
            count: 100,
            bytes: 32 * 1024,
        };
        static NOTHING: LazyLock<Arc<Facts>> = LazyLock::new(Arc::default);
        Exchange::new(Box::new(request), NOTHING.clone(), limits)
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Heads can hold credentials; they are left out.
        f.debug_struct("Exchange")
            .field("phase", &self.phase)
            .field("route", &self.facts.route)
            .field("request_id", &self.facts.request_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn addresses_have_their_usual_form(v4 in any::<[u8; 4]>(), v6 in any::<[u16; 8]>()) {
            prop_assert_eq!(address(v4.into()), IpAddr::from(v4).to_string());
            prop_assert_eq!(address(v6.into()), IpAddr::from(v6).to_canonical().to_string());
            let mapped = std::net::Ipv4Addr::from(v4).to_ipv6_mapped();
            prop_assert_eq!(address(mapped.into()), IpAddr::from(v4).to_string());
        }
    }
}
