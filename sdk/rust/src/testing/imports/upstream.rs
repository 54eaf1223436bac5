//! The interface `upstream`.

use super::super::call::{Current, with};
use super::super::phase::Phase;
use crate::Error;

pub(crate) fn group() -> Result<String, Error> {
    with(|current| {
        let current = current.only(Phase::has_upstream)?;
        Ok(current.exchange.upstream.clone())
    })
}

pub(crate) fn peers(group: &str) -> Result<Vec<String>, Error> {
    with(|current| {
        let current = current.only(Phase::has_upstream)?;
        peers_of(current, group).map(<[String]>::to_vec)
    })
}

pub(crate) fn choose_group(group: &str) -> Result<(), Error> {
    with(|current| {
        let current = current.only(Phase::chooses_upstream)?;
        peers_of(current, group)?;
        group.clone_into(&mut current.exchange.upstream);
        current.exchange.peer = None;
        Ok(())
    })
}

pub(crate) fn choose_peer(peer: &str) -> Result<(), Error> {
    with(|current| {
        let current = current.only(Phase::chooses_upstream)?;
        let peers = peers_of(current, &current.exchange.upstream)?;
        if !peers.iter().any(|known| known == peer) {
            return Err(Error::InvalidName);
        }
        current.exchange.peer = Some(peer.to_owned());
        Ok(())
    })
}

pub(crate) fn peer() -> Result<String, Error> {
    with(|current| {
        let current = current.only(Phase::has_peer)?;
        let attempt = current.exchange.attempts.last();
        Ok(attempt.ok_or(Error::WrongPhase)?.peer.clone())
    })
}

pub(crate) fn attempt() -> Result<u32, Error> {
    with(|current| {
        let attempts = current.only(Phase::has_peer)?.exchange.attempts.len();
        match u32::try_from(attempts) {
            Ok(0) | Err(_) => Err(Error::WrongPhase),
            Ok(attempt) => Ok(attempt),
        }
    })
}

/// The route's own group may be asked, others where they were granted. Which others there are is
/// nothing that a plugin finds out by trying.
fn peers_of<'a>(current: &'a Current, group: &str) -> Result<&'a [String], Error> {
    let host = &current.host;
    if group != current.exchange.route_upstream && !host.granted_upstreams.contains(group) {
        return Err(Error::Forbidden);
    }
    let peers = host.upstreams.get(group);
    Ok(peers.ok_or(Error::InvalidName)?)
}
