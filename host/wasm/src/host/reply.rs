//! `reply`: the answer that a plugin gives instead of the upstream.

use super::Host;
use crate::wit::{WitError, WitField};
use tidegate_chain::Refusal;
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

pub(super) fn link(reply: &mut LinkerInstance<'_, Host>) -> Result<()> {
    reply.func_wrap(
        "set",
        |mut host: StoreContextMut<'_, Host>,
         (status, headers, body): (u16, Vec<WitField>, Vec<u8>)| {
            let fields = headers.iter().map(|(n, v)| (n.as_str(), v.as_slice()));
            let exchange = &mut host.data_mut().exchange;
            let set = exchange.set_reply(status, fields, &body);
            Ok((set.map_err(|refusal| host.data().refuse_reply(refusal)),))
        },
    )?;
    reply.func_wrap(
        "begin",
        |mut host: StoreContextMut<'_, Host>, (status, headers): (u16, Vec<WitField>)| {
            if !host.data().gives_reply_bodies {
                return Ok((Err(WitError::Unavailable),));
            }
            let fields = headers.iter().map(|(n, v)| (n.as_str(), v.as_slice()));
            let begun = host.data_mut().exchange.begin_reply(status, fields);
            Ok((begun.map_err(|refusal| host.data().refuse_reply(refusal)),))
        },
    )
}

impl Host {
    /// A plugin that cannot reply nearly always fails next; its log line would not say why.
    fn refuse_reply(&self, refusal: Refusal) -> WitError {
        if self.namespace.may_log(self.monotonic()).is_some() {
            let plugin = &*self.namespace.name;
            let request = &*self.exchange.facts.request_id;
            tracing::warn!(plugin, request, "its reply is refused: {refusal}");
        }
        refusal.into()
    }
}
