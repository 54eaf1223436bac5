//! Edits that a plugin makes to heads and attributes: checked, bounded, and undone when the plugin
//! fails and its policy says that the request goes on without it.

use crate::attributes::is_name;
use crate::exchange::{Exchange, HeadLimits, Target};
use crate::{Fields, Value};
use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::sync::Arc;

/// Why an edit or a question was refused. Mirrors the contract's `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The function makes no sense in this phase.
    #[error("not possible in this phase")]
    WrongPhase,
    /// Not a field, attribute or metric name.
    #[error("not a valid name")]
    InvalidName,
    /// Not a field value.
    #[error("not a valid value")]
    InvalidValue,
    /// An argument is out of range.
    #[error("argument out of range")]
    InvalidArgument,
    /// The host keeps this name for itself.
    #[error("the proxy keeps this for itself")]
    Forbidden,
    /// A bound was reached.
    #[error("a limit was reached")]
    LimitReached,
}

/// One edit of a head's fields, as a plugin wants it.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit<'a> {
    /// Set to one value.
    Set(&'a str, &'a [u8]),
    /// Add a value.
    Append(&'a str, &'a [u8]),
    /// Remove all values.
    Remove(&'a str),
}

/// An edit of a field that a plugin may edit, with values that are such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckedEdit {
    /// Set to one value.
    Set(HeaderName, HeaderValue),
    /// Add a value.
    Append(HeaderName, HeaderValue),
    /// Remove all values.
    Remove(HeaderName),
}

impl Edit<'_> {
    /// Check name and value, and own them.
    ///
    /// # Errors
    /// The name or value is not one, or the field is one that the proxy keeps.
    pub fn check(&self) -> Result<CheckedEdit, Refusal> {
        self.check_with(&mut EditNames::default())
    }

    /// As [`Edit::check`], with names that were checked before.
    ///
    /// # Errors
    /// As for [`Edit::check`].
    pub fn check_with(&self, names: &mut EditNames) -> Result<CheckedEdit, Refusal> {
        Ok(match self {
            Edit::Set(name, value) => CheckedEdit::Set(names.get(name)?, field_value(value)?),
            Edit::Append(name, value) => CheckedEdit::Append(names.get(name)?, field_value(value)?),
            Edit::Remove(name) => CheckedEdit::Remove(names.get(name)?),
        })
    }
}

/// Names that were checked, as a plugin edits the same few fields in each exchange.
#[derive(Debug, Default)]
pub struct EditNames(Vec<HeaderName>);

impl EditNames {
    /// The most that are kept; so few are found sooner than a name is checked.
    const COUNT_MAX: usize = 8;
    /// Bytes of the longest that is kept.
    const BYTES_MAX: usize = 64;

    fn get(&mut self, name: &str) -> Result<HeaderName, Refusal> {
        if let Some(known) = self.0.iter().find(|known| known.as_str() == name) {
            return Ok(known.clone());
        }
        let checked = field_name(name)?;
        if self.0.len() < Self::COUNT_MAX && name.len() <= Self::BYTES_MAX {
            self.0.push(checked.clone());
        }
        Ok(checked)
    }
}

impl CheckedEdit {
    /// The field that it changes.
    pub fn name(&self) -> &HeaderName {
        match self {
            CheckedEdit::Set(name, _)
            | CheckedEdit::Append(name, _)
            | CheckedEdit::Remove(name) => name,
        }
    }

    /// Bytes of the name and the value.
    pub fn bytes(&self) -> usize {
        let value = match self {
            CheckedEdit::Set(_, value) | CheckedEdit::Append(_, value) => value.len(),
            CheckedEdit::Remove(_) => 0,
        };
        self.name().as_str().len() + value
    }
}

/// An edit that a plugin declared for every head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclaredEdit {
    /// The same for all of them.
    Fixed(CheckedEdit),
    /// Set to one value that is put together.
    Set(HeaderName, Box<[Part]>),
    /// Add a value that is put together.
    Append(HeaderName, Box<[Part]>),
}

/// A part of a value that is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Bytes(Box<[u8]>),
    /// The text of this attribute.
    Attribute(Box<str>),
}

impl Part {
    /// The text of an attribute.
    ///
    /// # Errors
    /// No attribute has such a name.
    pub fn attribute(name: &str) -> Result<Part, Refusal> {
        if !is_name(name) {
            return Err(Refusal::InvalidName);
        }
        Ok(Part::Attribute(name.into()))
    }
}

impl DeclaredEdit {
    /// The field that it changes.
    pub fn name(&self) -> &HeaderName {
        match self {
            DeclaredEdit::Fixed(edit) => edit.name(),
            DeclaredEdit::Set(name, _) | DeclaredEdit::Append(name, _) => name,
        }
    }

    /// The edit of this exchange's head.
    pub(crate) fn of(&self, exchange: &Exchange) -> Result<CheckedEdit, Refusal> {
        Ok(match self {
            DeclaredEdit::Fixed(edit) => edit.clone(),
            DeclaredEdit::Set(name, parts) => {
                CheckedEdit::Set(name.clone(), put_together(parts, exchange)?)
            }
            DeclaredEdit::Append(name, parts) => {
                CheckedEdit::Append(name.clone(), put_together(parts, exchange)?)
            }
        })
    }
}

fn put_together(parts: &[Part], exchange: &Exchange) -> Result<HeaderValue, Refusal> {
    let mut value = Vec::with_capacity(64);
    for part in parts {
        let text;
        let more = match part {
            Part::Bytes(bytes) => bytes,
            Part::Attribute(name) => {
                text = exchange.attribute_text(name).unwrap_or_default();
                text.as_bytes()
            }
        };
        if value.len() + more.len() > exchange.limits.bytes {
            return Err(Refusal::LimitReached);
        }
        value.extend_from_slice(more);
    }
    HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(|_| Refusal::InvalidValue)
}

/// What it takes to undo an edit.
#[derive(Debug)]
pub(crate) enum Undo {
    Fields(Target, HeaderName, Vec<HeaderValue>),
    Uri(Uri),
    Choice(Option<Arc<str>>, Option<usize>),
    Status(StatusCode),
    Attribute(Box<str>, Option<Value>),
}

/// Fields that frame the message or the connection. A plugin that could set them could split
/// requests; the proxy sets them itself.
fn is_kept(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "host"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

impl Exchange {
    /// Edit the fields of a head.
    ///
    /// # Errors
    /// The edit changed nothing: the head cannot be edited in this phase, or would grow beyond its limits.
    pub fn edit(&mut self, target: Target, edit: CheckedEdit) -> Result<(), Refusal> {
        self.editable(target)?;
        let limits = self.limits;
        let name = edit.name();
        let value = match &edit {
            CheckedEdit::Set(_, value) | CheckedEdit::Append(_, value) => Some(value),
            CheckedEdit::Remove(_) => None,
        };
        let undo = self
            .undo
            .as_ref()
            .is_some_and(|list| !knows(list, target, name));
        let head = self.fields_mut(target).ok_or(Refusal::WrongPhase)?;
        if let Some(value) = value {
            let replaces = matches!(edit, CheckedEdit::Set(..));
            within(&limits, head.fields(), name, value, replaces)?;
        }
        let old = undo.then(|| {
            let old = head.fields().get_all(name).iter().cloned().collect();
            Undo::Fields(target, name.clone(), old)
        });
        match edit {
            CheckedEdit::Set(name, value) => head.set(name, value),
            CheckedEdit::Append(name, value) => head.append(name, value),
            CheckedEdit::Remove(name) => head.remove(&name),
        }
        if let Some(old) = old {
            self.remember(old);
        }
        Ok(())
    }

    /// Change the path that is forwarded.
    ///
    /// # Errors
    /// The request cannot be edited in this phase, or this is not a path (RFC 3986 §3.3).
    pub fn set_path(&mut self, path: &str) -> Result<(), Refusal> {
        self.editable(Target::Request)?;
        if !path.starts_with('/') || path.contains(['?', '#']) {
            return Err(Refusal::InvalidValue);
        }
        let target = match self.request.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        self.set_target(&target)
    }

    /// Change the query that is forwarded.
    ///
    /// # Errors
    /// The request cannot be edited in this phase, or this is not a query (RFC 3986 §3.4).
    pub fn set_query(&mut self, query: Option<&str>) -> Result<(), Refusal> {
        self.editable(Target::Request)?;
        let path = self.request.uri().path();
        let target = match query {
            Some(query) if query.contains('#') => return Err(Refusal::InvalidValue),
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        self.set_target(&target)
    }

    fn set_target(&mut self, target: &str) -> Result<(), Refusal> {
        // `http` is lenient; what is not visible ASCII would have to be encoded on the wire.
        if target.len() > self.limits.bytes || !target.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Refusal::InvalidValue);
        }
        let uri = Uri::try_from(target).map_err(|_| Refusal::InvalidValue)?;
        let old = self.request.uri().clone();
        self.remember(Undo::Uri(old));
        self.request.set_uri(uri);
        Ok(())
    }

    /// Change the host that the upstream is told.
    ///
    /// # Errors
    /// The request cannot be edited in this phase, or this is not a host (RFC 9110 §7.2).
    pub fn set_host(&mut self, host: &str) -> Result<(), Refusal> {
        self.editable(Target::Request)?;
        let authority = Authority::try_from(host).map_err(|_| Refusal::InvalidValue)?;
        if authority.as_str().contains('@') {
            return Err(Refusal::InvalidValue);
        }
        let value = field_value(host.as_bytes())?;
        // A target that names the host as well, as in HTTP/2, would go before the field.
        let uri = self.request.uri();
        if uri.authority().is_some() {
            let target = uri.path_and_query().map_or("/", |target| target.as_str());
            let target = target.to_owned();
            self.set_target(&target)?;
        }
        let old = self
            .request
            .fields()
            .get_all(HOST)
            .iter()
            .cloned()
            .collect();
        self.remember(Undo::Fields(Target::Request, HOST, old));
        self.request.set(HOST, value);
        Ok(())
    }

    /// Change the status of the response.
    ///
    /// # Errors
    /// No response in this phase, a status outside 200–599, or one whose rules about a body differ
    /// from the present one's (204 and 304 have none).
    pub fn set_status(&mut self, status: u16) -> Result<(), Refusal> {
        self.editable(Target::Response)?;
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|s| (200..600).contains(&s.as_u16()))
            .ok_or(Refusal::InvalidArgument)?;
        let head = self.response.as_deref_mut().ok_or(Refusal::WrongPhase)?;
        let old = head.status();
        if bodiless(old) != bodiless(status) {
            return Err(Refusal::InvalidArgument);
        }
        head.set_status(status);
        self.remember(Undo::Status(old));
        Ok(())
    }

    /// Set an attribute.
    ///
    /// # Errors
    /// The name is built in or not a name, or the exchange has too many attributes.
    pub fn set_attribute(&mut self, name: &str, value: Value) -> Result<(), Refusal> {
        if crate::exchange::is_built_in(name) {
            return Err(Refusal::Forbidden);
        }
        let old = self.attributes.set(name, value)?;
        if self.undo.is_some() {
            self.remember(Undo::Attribute(name.into(), old));
        }
        Ok(())
    }

    /// Forget earlier edits, and remember from now on if `undoable`.
    pub(crate) fn begin_edits(&mut self, undoable: bool) {
        match (&mut self.undo, undoable) {
            (Some(list), true) => list.clear(),
            (slot, true) => *slot = Some(Vec::new()),
            (slot, false) => *slot = None,
        }
    }

    /// Undo the edits since [`Exchange::begin_edits`].
    pub(crate) fn undo_edits(&mut self) {
        for undo in self.undo.take().into_iter().flatten().rev() {
            match undo {
                Undo::Attribute(name, old) => self.attributes.restore(&name, old),
                Undo::Status(status) => {
                    if let Some(head) = self.response.as_deref_mut() {
                        head.set_status(status);
                    }
                }
                Undo::Uri(uri) => self.request.set_uri(uri),
                Undo::Choice(group, peer) => {
                    self.upstreams.chosen = group;
                    self.upstreams.chosen_peer = peer;
                }
                Undo::Fields(target, name, values) => {
                    if let Some(head) = self.fields_mut(target) {
                        head.remove(&name);
                        for value in values {
                            head.append(name.clone(), value);
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn remember_choice(&mut self) {
        let choice = &self.upstreams;
        let undo = Undo::Choice(choice.chosen.clone(), choice.chosen_peer);
        self.remember(undo);
    }

    fn remember(&mut self, undo: Undo) {
        if let Some(list) = &mut self.undo {
            list.push(undo);
        }
    }

    fn editable(&self, target: Target) -> Result<(), Refusal> {
        match self.phase {
            Some(phase) if self.stage.may_edit(target, phase) => Ok(()),
            _ => Err(Refusal::WrongPhase),
        }
    }

    fn fields_mut(&mut self, target: Target) -> Option<&mut dyn Fields> {
        match target {
            Target::Request => Some(&mut *self.request as &mut dyn Fields),
            Target::Response => self.response.as_deref_mut().map(|r| r as &mut dyn Fields),
            Target::Trailers => self.trailers.as_mut().map(|t| t as &mut dyn Fields),
        }
    }
}

/// Whether what the field was before the plugin's edits is remembered already.
fn knows(list: &[Undo], target: Target, name: &HeaderName) -> bool {
    list.iter()
        .any(|undo| matches!(undo, Undo::Fields(of, field, _) if *of == target && field == name))
}

/// Whether a response with this status never has a body (RFC 9110 §6.4.1).
pub(crate) fn bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

pub(crate) fn field_name(name: &str) -> Result<HeaderName, Refusal> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Refusal::InvalidName)?;
    if is_kept(&name) {
        return Err(Refusal::Forbidden);
    }
    Ok(name)
}

pub(crate) fn field_value(value: &[u8]) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_bytes(value).map_err(|_| Refusal::InvalidValue)
}

/// Whether the head stays within its limits with this field.
fn within(
    limits: &HeadLimits,
    fields: &HeaderMap,
    name: &HeaderName,
    value: &HeaderValue,
    replaces: bool,
) -> Result<(), Refusal> {
    let count = fields.len() + 1;
    if count > limits.count && !(replaces && fields.contains_key(name)) {
        return Err(Refusal::LimitReached);
    }
    let mut bytes = name.as_str().len() + value.len();
    // A head that is far from its limit in count cannot be near it in bytes unless a value is large.
    if bytes > limits.bytes / 64 || count > 32 {
        bytes += fields
            .iter()
            .map(|(n, v)| n.as_str().len() + v.len())
            .sum::<usize>();
    }
    if bytes > limits.bytes {
        return Err(Refusal::LimitReached);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phase;

    #[test]
    fn names_that_were_checked_are_few_and_the_same() {
        let mut names = EditNames::default();
        for round in 0..2 {
            for n in 0..20 {
                let name = format!("x-{n}");
                let edit = Edit::Set(&name, b"1");
                assert_eq!(edit.check_with(&mut names), edit.check(), "{round}");
            }
            for bad in ["", "x a", "host", "Host"] {
                let edit = Edit::Remove(bad);
                assert_eq!(edit.check_with(&mut names), edit.check());
                assert!(edit.check().is_err());
            }
            let upper = Edit::Remove("X-1").check_with(&mut names);
            assert_eq!(upper, Edit::Remove("x-1").check());
        }
        assert_eq!(names.0.len(), EditNames::COUNT_MAX);
    }

    #[test]
    fn the_host_that_is_set_is_the_only_one() {
        for target in ["http://a.example/x?y", "/x?y"] {
            let (head, ()) = http::Request::get(target).body(()).unwrap().into_parts();
            let mut exchange = Exchange {
                request: Box::new(head),
                phase: Some(Phase::RequestHead),
                ..Exchange::default()
            };
            exchange.begin_edits(true);
            exchange.set_host("b.example:81").unwrap();
            assert_eq!(exchange.request.uri(), "/x?y", "{target}");
            assert_eq!(exchange.request.fields()[HOST], "b.example:81");
            exchange.undo_edits();
            assert_eq!(exchange.request.uri(), target);
        }
    }
}
