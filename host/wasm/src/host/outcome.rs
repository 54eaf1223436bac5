//! `outcome`: what became of the exchange.

use super::Host;
use crate::wit::WitError;
use std::time::Duration;
use tidegate_chain::Outcome;
use wasmtime::component::{ComponentNamedList, Lift, LinkerInstance, Lower};
use wasmtime::{Result, StoreContextMut};

type Answer<T> = std::result::Result<T, WitError>;

pub(super) fn link(outcome: &mut LinkerInstance<'_, Host>) -> Result<()> {
    fact(outcome, "status", |_, outcome| outcome.status)?;
    fact(outcome, "request-bytes", |_, outcome| outcome.request_bytes)?;
    fact(outcome, "response-bytes", |_, outcome| {
        outcome.response_bytes
    })?;
    fact(outcome, "duration", |_, outcome| {
        nanoseconds(outcome.duration)
    })?;
    fact(outcome, "upstream-wait", |_, outcome| {
        outcome.upstream_wait.map(nanoseconds)
    })?;
    fact(outcome, "upstream", |host, _| {
        let asked = &host.exchange.upstreams.asked;
        asked.as_deref().map(str::to_owned)
    })?;
    fact(outcome, "peer", |host, _| {
        let peer = &host.exchange.upstreams.peer;
        peer.as_deref().map(str::to_owned)
    })?;
    fact(outcome, "attempts", |host, _| {
        host.exchange.upstreams.attempt
    })?;
    fact(outcome, "problem", |_, outcome| outcome.problem.clone())
}

/// One fact, where there is an outcome.
fn fact<T>(
    instance: &mut LinkerInstance<'_, Host>,
    name: &str,
    read: impl Fn(&Host, &Outcome) -> T + Send + Sync + 'static,
) -> Result<()>
where
    T: 'static,
    (Answer<T>,): ComponentNamedList + Lower + Lift,
{
    instance.func_wrap(name, move |host: StoreContextMut<'_, Host>, ()| {
        let host = host.data();
        let outcome = host.exchange.outcome.as_ref();
        let fact = outcome.map(|outcome| read(host, outcome));
        Ok((fact.ok_or(WitError::WrongPhase),))
    })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
