//! `attributes`: typed values that belong to the exchange.

use super::Host;
use crate::wit::{WitError, WitValue};
use std::borrow::Cow;
use wasmtime::component::{LinkerInstance, WasmStr};
use wasmtime::{Result, StoreContextMut};

type Caller<'a> = StoreContextMut<'a, Host>;

pub(super) fn link(attributes: &mut LinkerInstance<'_, Host>) -> Result<()> {
    attributes.func_wrap("get", |host: Caller<'_>, (name,): (WasmStr,)| {
        let name = name.to_str(&host)?;
        let value = host.data().exchange.attribute(&name);
        Ok((value.map(|value| WitValue::from(value.into_owned())),))
    })?;
    attributes.func_wrap("get-text", |host: Caller<'_>, (name,): (WasmStr,)| {
        let name = name.to_str(&host)?;
        let text = host.data().exchange.attribute_text(&name);
        Ok((text.map(Cow::into_owned),))
    })?;
    attributes.func_wrap(
        "set",
        |mut host: Caller<'_>, (name, value): (WasmStr, WitValue)| {
            let name = name.to_str(&host)?.into_owned();
            let exchange = &mut host.data_mut().exchange;
            if exchange.phase.is_none() {
                return Ok((Err(WitError::WrongPhase),));
            }
            let set = exchange.set_attribute(&name, value.into());
            Ok((set.map_err(WitError::from),))
        },
    )
}
