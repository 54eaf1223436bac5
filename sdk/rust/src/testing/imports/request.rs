//! The interface `request`.

use super::super::call::with;
use super::super::exchange::RequestHead;
use super::super::phase::Phase;
use crate::Error;
use crate::bindings::host::tidegate::plugin::types::Edit;

pub(crate) fn method() -> String {
    read(|head| head.method.clone())
}

pub(crate) fn scheme() -> String {
    read(|head| head.scheme.clone())
}

pub(crate) fn host() -> String {
    read(|head| head.host.clone())
}

pub(crate) fn path() -> String {
    read(|head| head.path.clone())
}

pub(crate) fn query() -> Option<String> {
    read(|head| head.query.clone())
}

pub(crate) fn header(name: &str) -> Option<Vec<u8>> {
    read(|head| head.fields.joined(name))
}

pub(crate) fn header_values(name: &str) -> Vec<Vec<u8>> {
    read(|head| head.fields.values(name))
}

pub(crate) fn header_names() -> Vec<String> {
    read(|head| head.fields.names())
}

pub(crate) fn set_header(name: &str, value: &[u8]) -> Result<(), Error> {
    edit_headers(&[Edit::Set((name.to_owned(), value.to_vec()))])
}

pub(crate) fn append_header(name: &str, value: &[u8]) -> Result<(), Error> {
    edit_headers(&[Edit::Append((name.to_owned(), value.to_vec()))])
}

pub(crate) fn remove_header(name: &str) -> Result<(), Error> {
    edit_headers(&[Edit::Remove(name.to_owned())])
}

pub(crate) fn edit_headers(edits: &[Edit]) -> Result<(), Error> {
    change(|head| head.fields.edit_all(edits))
}

pub(crate) fn set_path(path: &str) -> Result<(), Error> {
    if !path.starts_with('/') || path.contains('?') || !is_encoded(path) {
        return Err(Error::InvalidValue);
    }
    change(|head| {
        path.clone_into(&mut head.path);
        Ok(())
    })
}

pub(crate) fn set_query(query: Option<&str>) -> Result<(), Error> {
    if query.is_some_and(|query| !is_encoded(query)) {
        return Err(Error::InvalidValue);
    }
    change(|head| {
        head.query = query.map(str::to_owned);
        Ok(())
    })
}

pub(crate) fn set_host(host: &str) -> Result<(), Error> {
    let outside = |c: char| !c.is_ascii_graphic() || "/?#@\\".contains(c);
    if host.is_empty() || host.contains(outside) {
        return Err(Error::InvalidValue);
    }
    change(|head| {
        head.upstream_host = Some(host.to_owned());
        Ok(())
    })
}

/// Nothing that RFC 3986 §2.1 wants percent-encoded.
fn is_encoded(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_graphic() && c != '#')
}

/// The head as this phase sees it: of the attempt, where there is one.
fn read<R>(work: impl FnOnce(&RequestHead) -> R) -> R {
    with(|current| {
        let attempt = current.is(Phase::UpstreamRequest);
        work(current.exchange.head(attempt))
    })
}

fn change(work: impl FnOnce(&mut RequestHead) -> Result<(), Error>) -> Result<(), Error> {
    with(|current| {
        let current = current.only(Phase::edits_request)?;
        let attempt = current.is(Phase::UpstreamRequest);
        work(current.exchange.head_mut(attempt))
    })
}
