//! `interest`: what a plugin wants to see, said while it is being configured.

use super::Host;
use crate::wit::WitError;
use http::{HeaderName, Method};
use tidegate_chain::{Interest, PathInterest};
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

type Caller<'a> = StoreContextMut<'a, Host>;

/// Entries of one list.
const LIST_MAX: usize = 256;

pub(super) fn link(interest: &mut LinkerInstance<'_, Host>) -> Result<()> {
    interest.func_wrap(
        "methods",
        |mut host: Caller<'_>, (list,): (Vec<String>,)| {
            Ok((host.data_mut().narrow(&list, |interest, text| {
                let method = Method::from_bytes(text.as_bytes());
                interest
                    .methods
                    .push(method.map_err(|_| WitError::InvalidArgument)?);
                Ok(())
            }),))
        },
    )?;
    interest.func_wrap("paths", |mut host: Caller<'_>, (list,): (Vec<String>,)| {
        Ok((host.data_mut().narrow(&list, |interest, text| {
            interest.paths.push(PathInterest::parse(text)?);
            Ok(())
        }),))
    })?;
    interest.func_wrap(
        "headers",
        |mut host: Caller<'_>, (list,): (Vec<String>,)| {
            Ok((host.data_mut().narrow(&list, |interest, text| {
                let name = HeaderName::from_bytes(text.as_bytes());
                interest
                    .headers
                    .push(name.map_err(|_| WitError::InvalidName)?);
                Ok(())
            }),))
        },
    )
}

impl Host {
    fn narrow(
        &mut self,
        list: &[String],
        mut add: impl FnMut(&mut Interest, &str) -> std::result::Result<(), WitError>,
    ) -> std::result::Result<(), WitError> {
        let interest = self.interest.as_mut().ok_or(WitError::WrongPhase)?;
        if list.len() > LIST_MAX {
            return Err(WitError::LimitReached);
        }
        list.iter().try_for_each(|text| add(interest, text))
    }
}
