//! `body`: which bodies of the exchange the plugin does not want to see.

use super::Host;
use crate::wit::WitError;
use tidegate_chain::Target;
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

pub(super) fn link(body: &mut LinkerInstance<'_, Host>) -> Result<()> {
    for (name, target) in [
        ("skip-request", Target::Request),
        ("skip-response", Target::Response),
    ] {
        body.func_wrap(name, move |mut host: StoreContextMut<'_, Host>, ()| {
            let skipped = host.data_mut().exchange.skip_body(target);
            Ok((skipped.map_err(WitError::from),))
        })?;
    }
    Ok(())
}
