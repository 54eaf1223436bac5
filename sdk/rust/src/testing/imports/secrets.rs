//! The interface `secrets`, with values that the test sets.

use std::collections::BTreeMap;

use super::super::Host;
use super::super::call::with;
use crate::Error;

/// The granted secrets, and the names that have a handle: its index.
#[derive(Default)]
pub(in crate::testing) struct Secrets {
    values: BTreeMap<String, Vec<u8>>,
    open: Vec<String>,
}

impl Host {
    /// Grant a secret, `allow = { secrets = […] }`, or rotate it.
    pub fn set_secret(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.secrets.values.insert(name.to_owned(), value.into());
    }
}

impl Secrets {
    pub(super) fn value(&self, handle: u32) -> Result<&[u8], Error> {
        let index = usize::try_from(handle).map_err(|_| Error::InvalidArgument)?;
        let name = self.open.get(index).ok_or(Error::InvalidArgument)?;
        let value = self.values.get(name).ok_or(Error::Unavailable)?;
        Ok(value)
    }
}

pub(crate) fn open(name: &str) -> Result<u32, Error> {
    with(|current| {
        let Secrets { values, open } = &mut current.host.secrets;
        if !values.contains_key(name) {
            return Err(Error::Forbidden);
        }
        let known = open.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            open.push(name.to_owned());
            open.len() - 1
        });
        u32::try_from(index).map_err(|_| Error::LimitReached)
    })
}

pub(crate) fn reveal(handle: u32) -> Result<Vec<u8>, Error> {
    with(|current| current.host.secrets.value(handle).map(<[u8]>::to_vec))
}
