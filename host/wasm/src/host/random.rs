//! `random`: numbers that nobody can guess, from the system (getrandom(2)).

use super::Host;
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

/// Bytes of one call.
const BYTES_MAX: u32 = 64 << 10;

pub(super) fn link(random: &mut LinkerInstance<'_, Host>) -> Result<()> {
    random.func_wrap("bytes", |_: StoreContextMut<'_, Host>, (count,): (u32,)| {
        let mut bytes = vec![0; count.min(BYTES_MAX) as usize];
        getrandom::fill(&mut bytes)?;
        Ok((bytes,))
    })?;
    random.func_wrap("number", |_: StoreContextMut<'_, Host>, ()| {
        Ok((getrandom::u64()?,))
    })
}
