//! `interest`: what a plugin wants to see, said while it is being configured.

use super::Host;
use crate::wit::WitError;
use http::{HeaderName, Method};
use tidegate_chain::{Interest, PathInterest};
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

type Caller<'a> = StoreContextMut<'a, Host>;

/// Entries of one list, however many calls make it.
const LIST_MAX: usize = 256;
/// Bytes of one entry.
const TEXT_BYTES_MAX: usize = 8 * 1024;

pub(super) fn link(interest: &mut LinkerInstance<'_, Host>) -> Result<()> {
    interest.func_wrap(
        "methods",
        |mut host: Caller<'_>, (list,): (Vec<String>,)| {
            Ok((host.data_mut().narrow(
                &list,
                |i| i.methods.len(),
                |interest, text| {
                    let method = Method::from_bytes(text.as_bytes());
                    interest
                        .methods
                        .push(method.map_err(|_| WitError::InvalidArgument)?);
                    Ok(())
                },
            ),))
        },
    )?;
    interest.func_wrap("paths", |mut host: Caller<'_>, (list,): (Vec<String>,)| {
        Ok((host.data_mut().narrow(
            &list,
            |i| i.paths.len(),
            |interest, text| {
                interest.paths.push(PathInterest::parse(text)?);
                Ok(())
            },
        ),))
    })?;
    interest.func_wrap(
        "headers",
        |mut host: Caller<'_>, (list,): (Vec<String>,)| {
            Ok((host.data_mut().narrow(
                &list,
                |i| i.headers.len(),
                |interest, text| {
                    let name = HeaderName::from_bytes(text.as_bytes());
                    interest
                        .headers
                        .push(name.map_err(|_| WitError::InvalidName)?);
                    Ok(())
                },
            ),))
        },
    )
}

impl Host {
    fn narrow(
        &mut self,
        list: &[String],
        so_far: impl FnOnce(&Interest) -> usize,
        mut add: impl FnMut(&mut Interest, &str) -> std::result::Result<(), WitError>,
    ) -> std::result::Result<(), WitError> {
        let interest = self.interest.as_mut().ok_or(WitError::WrongPhase)?;
        let too_long = list.iter().any(|text| text.len() > TEXT_BYTES_MAX);
        if so_far(interest) + list.len() > LIST_MAX || too_long {
            return Err(WitError::LimitReached);
        }
        list.iter().try_for_each(|text| add(interest, text))
    }
}
