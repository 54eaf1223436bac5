//! The interface `trailers`.

use super::super::call::with;
use super::super::fields::Fields;
use super::super::phase::Phase;
use crate::Error;
use crate::bindings::host::tidegate::plugin::types::Edit;

pub(crate) fn header(name: &str) -> Result<Option<Vec<u8>>, Error> {
    read(|fields| fields.joined(name))
}

pub(crate) fn header_values(name: &str) -> Result<Vec<Vec<u8>>, Error> {
    read(|fields| fields.values(name))
}

pub(crate) fn header_names() -> Result<Vec<String>, Error> {
    read(|fields| fields.names())
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
    read(|fields| fields.edit_all(edits))?
}

fn read<R>(work: impl FnOnce(&mut Fields) -> R) -> Result<R, Error> {
    with(|current| {
        let current = current.only(Phase::has_trailers)?;
        Ok(work(&mut current.exchange.trailers))
    })
}
