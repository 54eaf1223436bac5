//! `secrets`: handles of secrets that the plugin was granted by name.

use super::Host;
use crate::wit::WitError;
use std::sync::Arc;
use tidegate_capability::secret::Secret;
use wasmtime::component::{LinkerInstance, WasmStr};
use wasmtime::{Result, StoreContextMut};

type Caller<'a> = StoreContextMut<'a, Host>;
type Answer<T> = Result<(std::result::Result<T, WitError>,)>;

pub(super) fn link(secrets: &mut LinkerInstance<'_, Host>) -> Result<()> {
    secrets.func_wrap(
        "open",
        |mut host: Caller<'_>, (name,): (WasmStr,)| -> Answer<u32> {
            let name = name.to_str(&host)?.into_owned();
            Ok((host.data_mut().open_secret(name),))
        },
    )?;
    secrets.func_wrap(
        "reveal",
        |host: Caller<'_>, (handle,): (u32,)| -> Answer<Vec<u8>> {
            let secret = host.data().secret(handle);
            Ok((secret.map(|secret| secret.expose().to_vec()),))
        },
    )
}

impl Host {
    /// Handles are places in the list of names that the instance has opened, of which each is there once.
    fn open_secret(&mut self, name: String) -> std::result::Result<u32, WitError> {
        if !self.capabilities.secret_names.contains(&name) {
            return Err(WitError::Forbidden);
        }
        let known = self.opened.iter().position(|opened| *opened == name);
        let place = known.unwrap_or_else(|| {
            self.opened.push(name);
            self.opened.len() - 1
        });
        u32::try_from(place).map_err(|_| WitError::LimitReached)
    }

    /// The present value behind a handle.
    pub(super) fn secret(&self, handle: u32) -> std::result::Result<Arc<Secret>, WitError> {
        let place = usize::try_from(handle).unwrap_or(usize::MAX);
        let name = self.opened.get(place).ok_or(WitError::InvalidArgument)?;
        self.capabilities.secret(name).ok_or(WitError::Unavailable)
    }
}
