//! The interface `response`.

use super::super::call::with;
use super::super::fields::Fields;
use super::super::phase::Phase;
use crate::Error;
use crate::bindings::host::tidegate::plugin::types::Edit;

pub(crate) fn status() -> Result<u16, Error> {
    with(|current| Ok(current.only(Phase::has_response)?.exchange.status))
}

pub(crate) fn set_status(status: u16) -> Result<(), Error> {
    with(|current| {
        let current = current.only(Phase::edits_response)?;
        let old = current.exchange.status;
        if !(200..=599).contains(&status) || is_bodiless(old) != is_bodiless(status) {
            return Err(Error::InvalidArgument);
        }
        current.exchange.status = status;
        Ok(())
    })
}

pub(crate) fn header(name: &str) -> Result<Option<Vec<u8>>, Error> {
    if name.eq_ignore_ascii_case("set-cookie") {
        return read(|fields| fields.values(name).into_iter().next());
    }
    read(|fields| fields.joined(name))
}

pub(crate) fn header_values(name: &str) -> Result<Vec<Vec<u8>>, Error> {
    read(|fields| fields.values(name))
}

pub(crate) fn header_names() -> Result<Vec<String>, Error> {
    read(Fields::names)
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
    with(|current| {
        let current = current.only(Phase::edits_response)?;
        current.exchange.response.edit_all(edits)
    })
}

pub(crate) fn prepare_edits(edits: &[Edit]) -> Result<(), Error> {
    Fields::check_all(edits)?;
    with(|current| {
        let current = current.only(Phase::prepares_response)?;
        let id = current.host.id;
        current.exchange.prepared.insert(id, edits.to_vec());
        Ok(())
    })
}

/// Whether a response with this status never has a body (RFC 9110 §6.4.1).
pub(in crate::testing) fn is_bodiless(status: u16) -> bool {
    matches!(status, 204 | 304)
}

fn read<R>(work: impl FnOnce(&Fields) -> R) -> Result<R, Error> {
    with(|current| Ok(work(&current.only(Phase::has_response)?.exchange.response)))
}
