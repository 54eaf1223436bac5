//! `upstream`: the choice of an upstream, and what came of it.

use super::Host;
use crate::wit::WitError;
use tidegate_chain::{Phase, RequestStage};
use wasmtime::component::{LinkerInstance, WasmStr};
use wasmtime::{Result, StoreContextMut};

type Caller<'a> = StoreContextMut<'a, Host>;
type Answer<T> = Result<(std::result::Result<T, WitError>,)>;

pub(super) fn link(upstream: &mut LinkerInstance<'_, Host>) -> Result<()> {
    upstream.func_wrap("group", |host: Caller<'_>, ()| -> Answer<String> {
        let host = host.data();
        let group = host.exchange.upstreams.group();
        let known = host.exchange.stage.request() >= RequestStage::Choosing;
        let group = group.filter(|_| known).map(|group| group.to_string());
        Ok((group.ok_or(WitError::WrongPhase),))
    })?;
    upstream.func_wrap(
        "peers",
        |host: Caller<'_>, (group,): (WasmStr,)| -> Answer<Vec<String>> {
            let group = group.to_str(&host)?;
            Ok((host.data().peers(&group),))
        },
    )?;
    upstream.func_wrap(
        "choose-group",
        |mut host: Caller<'_>, (group,): (WasmStr,)| -> Answer<()> {
            let group = group.to_str(&host)?.into_owned();
            let host = host.data_mut();
            let granted = host.capabilities.clone();
            let chosen = host
                .exchange
                .choose_group(&group, |name| granted.upstreams.iter().any(|u| u == name));
            Ok((chosen.map_err(WitError::from),))
        },
    )?;
    upstream.func_wrap(
        "choose-peer",
        |mut host: Caller<'_>, (peer,): (WasmStr,)| -> Answer<()> {
            let peer = peer.to_str(&host)?.into_owned();
            let chosen = host.data_mut().exchange.choose_peer(&peer);
            Ok((chosen.map_err(WitError::from),))
        },
    )?;
    upstream.func_wrap("peer", |host: Caller<'_>, ()| -> Answer<String> {
        let peer = host.data().exchange.upstreams.peer.as_deref();
        Ok((peer.map(str::to_owned).ok_or(WitError::WrongPhase),))
    })?;
    upstream.func_wrap("attempt", |host: Caller<'_>, ()| -> Answer<u32> {
        let attempt = host.data().exchange.upstreams.attempt;
        Ok(((attempt > 0).then_some(attempt).ok_or(WitError::WrongPhase),))
    })
}

impl Host {
    fn peers(&self, group: &str) -> std::result::Result<Vec<String>, WitError> {
        if self.exchange.phase != Some(Phase::UpstreamChoice) {
            return Err(WitError::WrongPhase);
        }
        let choice = &self.exchange.upstreams;
        let own = choice.route.as_deref() == Some(group);
        if !own && !self.capabilities.upstreams.iter().any(|u| u == group) {
            return Err(WitError::Forbidden);
        }
        let peers = choice.groups.get(group).ok_or(WitError::InvalidName)?;
        Ok(peers.iter().map(|peer| peer.to_string()).collect())
    }
}
