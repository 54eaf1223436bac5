//! The interface `outcome`.

use std::time::Duration;

use super::super::Facts;
use super::super::call::with;
use super::super::phase::Phase;
use crate::Error;
use crate::time::nanoseconds;

pub(crate) fn status() -> Result<u16, Error> {
    read(|facts| facts.status)
}

pub(crate) fn request_bytes() -> Result<u64, Error> {
    read(|facts| facts.request_bytes)
}

pub(crate) fn response_bytes() -> Result<u64, Error> {
    read(|facts| facts.response_bytes)
}

pub(crate) fn duration() -> Result<u64, Error> {
    read(|facts| nanoseconds(facts.duration))
}

pub(crate) fn upstream_wait() -> Result<Option<u64>, Error> {
    let wait: Option<Duration> = read(|facts| facts.upstream_wait)?;
    Ok(wait.map(nanoseconds))
}

pub(crate) fn upstream() -> Result<Option<String>, Error> {
    read(|facts| facts.upstream.clone())
}

pub(crate) fn peer() -> Result<Option<String>, Error> {
    read(|facts| facts.peer.clone())
}

pub(crate) fn attempts() -> Result<u32, Error> {
    read(|facts| facts.attempts)
}

pub(crate) fn problem() -> Result<Option<String>, Error> {
    read(|facts| facts.problem.clone())
}

fn read<R>(work: impl FnOnce(&Facts) -> R) -> Result<R, Error> {
    with(|current| Ok(work(&current.only(Phase::has_outcome)?.exchange.facts)))
}
