//! One call into a plugin, and how the host's functions find what it is about.

use std::cell::RefCell;

use super::phase::Phase;
use super::{Exchange, Host};
use crate::Error;

/// What the plugin's calls work on.
pub(super) struct Current {
    phase: Option<Phase>,
    pub(super) host: Host,
    pub(super) exchange: Exchange,
}

impl Current {
    /// In the phases that have something only.
    pub(super) fn only(&mut self, allowed: fn(Phase) -> bool) -> Result<&mut Self, Error> {
        if self.phase.is_some_and(allowed) {
            Ok(self)
        } else {
            Err(Error::WrongPhase)
        }
    }

    /// Whether the call comes from this phase.
    pub(super) fn is(&self, phase: Phase) -> bool {
        self.phase == Some(phase)
    }
}

/// Work on the current call.
pub(super) fn with<R>(work: impl FnOnce(&mut Current) -> R) -> R {
    CURRENT.with_borrow_mut(work)
}

/// Call the plugin: the host and the exchange are moved to where the host's functions find them, and
/// back afterwards, also when the plugin panics.
pub(super) fn call<R>(
    host: &mut Host,
    exchange: &mut Exchange,
    phase: Phase,
    plugin: impl FnOnce() -> R,
) -> R {
    let mut guard = Guard { host, exchange };
    guard.swap();
    CURRENT.with_borrow_mut(|current| current.phase = Some(phase));
    plugin()
}

thread_local! {
    static CURRENT: RefCell<Current> = RefCell::new(Current {
        phase: None,
        host: Host::new(),
        exchange: Exchange::get("/"),
    });
}

struct Guard<'a> {
    host: &'a mut Host,
    exchange: &'a mut Exchange,
}

impl Guard<'_> {
    fn swap(&mut self) {
        CURRENT.with_borrow_mut(|current| {
            std::mem::swap(self.host, &mut current.host);
            std::mem::swap(self.exchange, &mut current.exchange);
            current.phase = None;
        });
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.swap();
    }
}
