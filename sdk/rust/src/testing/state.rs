//! The fake host's state, and how it gets to the functions that a plugin calls.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::Exchange;
use crate::Error;
use crate::bindings::host::tidegate::plugin::limiter::{Bucket, Outcome};
use crate::log::Level;

/// The phases, as far as the rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Configure,
    Request,
    Response,
}

/// Name and labels of one series.
pub(super) type Series = (String, BTreeMap<String, String>);

/// What outlives an exchange.
#[derive(Debug)]
pub(super) struct World {
    /// The wall clock's start, since 1970.
    pub(super) epoch: Duration,
    /// How far time went on.
    pub(super) elapsed: Duration,
    pub(super) interest: Interests,
    pub(super) limiter_unavailable: bool,
    pub(super) buckets: BTreeMap<(u8, Vec<u8>), Tokens>,
    pub(super) log: Vec<(Level, String)>,
    pub(super) metrics: BTreeMap<Series, f64>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            epoch: Duration::from_secs(1_767_225_600),
            elapsed: Duration::ZERO,
            interest: Interests::default(),
            limiter_unavailable: false,
            buckets: BTreeMap::new(),
            log: Vec::new(),
            metrics: BTreeMap::new(),
        }
    }
}

/// What `configure` declared; an empty list does not narrow.
#[derive(Debug, Default)]
pub(super) struct Interests {
    pub(super) methods: Vec<String>,
    pub(super) paths: Vec<String>,
    pub(super) headers: Vec<String>,
}

impl Interests {
    pub(super) fn matches(&self, exchange: &Exchange) -> bool {
        let one_of = |list: &[String], matches: &dyn Fn(&String) -> bool| {
            list.is_empty() || list.iter().any(matches)
        };
        one_of(&self.methods, &|method| *method == exchange.method)
            && one_of(&self.headers, &|name| {
                !exchange.request.values(name).is_empty()
            })
            && one_of(&self.paths, &|path| match path.strip_suffix('*') {
                Some(prefix) => exchange.path.starts_with(prefix),
                None => *path == exchange.path,
            })
    }
}

/// One token bucket.
#[derive(Debug)]
pub(super) struct Tokens {
    /// Tokens times the period's nanoseconds, so that division comes last.
    level: u128,
    /// When the level was right.
    at: Duration,
}

impl Tokens {
    pub(super) fn full(bucket: &Bucket, now: Duration) -> Self {
        Self {
            level: capacity(bucket),
            at: now,
        }
    }

    pub(super) fn take(&mut self, bucket: &Bucket, cost: u64, now: Duration) -> Outcome {
        let gained = (now.saturating_sub(self.at)).as_nanos() * u128::from(bucket.tokens);
        self.level = (self.level + gained).min(capacity(bucket));
        self.at = now;

        let price = u128::from(cost) * u128::from(bucket.period);
        let allowed = self.level >= price;
        if allowed {
            self.level -= price;
        }
        let wait = |units: u128| nanoseconds(units.div_ceil(u128::from(bucket.tokens)));
        Outcome {
            allowed,
            remaining: nanoseconds(self.level / u128::from(bucket.period)),
            full_after: wait(capacity(bucket) - self.level),
            retry_after: if allowed { 0 } else { wait(price - self.level) },
        }
    }
}

fn capacity(bucket: &Bucket) -> u128 {
    u128::from(bucket.burst) * u128::from(bucket.period)
}

fn nanoseconds(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// One call into a plugin: the world and the exchange are moved to where the host's functions find
/// them, and back afterwards, also when the plugin panics.
pub(super) fn call<R>(
    world: &mut World,
    exchange: &mut Exchange,
    phase: Phase,
    plugin: impl FnOnce() -> R,
) -> R {
    let mut guard = Guard { world, exchange };
    guard.swap();
    CURRENT.with_borrow_mut(|current| current.phase = Some(phase));
    plugin()
}

/// What the plugin's calls work on.
pub(super) struct Current {
    phase: Option<Phase>,
    pub(super) world: World,
    pub(super) exchange: Exchange,
}

impl Current {
    /// In this phase only.
    pub(super) fn only(&mut self, phase: Phase) -> Result<&mut Self, Error> {
        if self.phase == Some(phase) {
            Ok(self)
        } else {
            Err(Error::WrongPhase)
        }
    }

    /// In a request's or a response's phase.
    pub(super) fn in_exchange(&mut self) -> Result<&mut Self, Error> {
        match self.phase {
            Some(Phase::Request | Phase::Response) => Ok(self),
            Some(Phase::Configure) | None => Err(Error::WrongPhase),
        }
    }
}

/// Work on the current call.
pub(super) fn with<R>(work: impl FnOnce(&mut Current) -> R) -> R {
    CURRENT.with_borrow_mut(work)
}

thread_local! {
    static CURRENT: RefCell<Current> = RefCell::new(Current {
        phase: None,
        world: World::default(),
        exchange: Exchange::get("/"),
    });
}

struct Guard<'a> {
    world: &'a mut World,
    exchange: &'a mut Exchange,
}

impl Guard<'_> {
    fn swap(&mut self) {
        CURRENT.with_borrow_mut(|current| {
            std::mem::swap(self.world, &mut current.world);
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
