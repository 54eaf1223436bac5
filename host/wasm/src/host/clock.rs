//! `clock`: what time it is.

use super::Host;
use std::time::{SystemTime, UNIX_EPOCH};
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

pub(super) fn link(clock: &mut LinkerInstance<'_, Host>) -> Result<()> {
    clock.func_wrap("now", |_: StoreContextMut<'_, Host>, ()| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanoseconds = since.map_or(0, |since| since.as_nanos());
        Ok((u64::try_from(nanoseconds).unwrap_or(u64::MAX),))
    })?;
    clock.func_wrap("monotonic", |host: StoreContextMut<'_, Host>, ()| {
        Ok((host.data().monotonic(),))
    })
}
