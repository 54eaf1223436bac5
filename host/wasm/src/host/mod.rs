//! What a plugin can call: one file per interface of the contract. The list below is the list of
//! everything that the sandbox lets out.

mod attributes;
mod clock;
mod heads;
mod interest;
mod limiter;
pub(crate) mod log;
mod metrics;
mod reply;
mod wasi;

use crate::namespace::{Namespace, Series, SeriesKind};
use crate::overtime::Overtime;
use crate::trap::MemoryExceeded;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tidegate_chain::{Exchange, Interest};
use wasmtime::component::Linker;
use wasmtime::{Engine, ResourceLimiter};

/// The contract's version that this host speaks.
pub const CONTRACT: &str = "0.1.0";

/// The host's side of one instance: what its imports work on.
pub(crate) struct Host {
    /// The current exchange during a call, an empty one otherwise.
    pub(crate) exchange: Box<Exchange>,
    /// What the plugin is interested in, while it is being configured.
    pub(crate) interest: Option<Interest>,
    pub(crate) memory: Memory,
    /// Of a plugin that is called synchronously.
    pub(crate) overtime: Option<Overtime>,
    namespace: Arc<Namespace>,
    version: Arc<str>,
    start: Instant,
    /// Series that this instance used before, so that using them again takes no lock.
    series: HashMap<SeriesKey, Series>,
    wasi: Option<wasi::State>,
}

type SeriesKey = (SeriesKind, String, Vec<(String, String)>);

/// How much memory the instance uses and may use.
pub(crate) struct Memory {
    pub(crate) used: usize,
    limit: usize,
}

/// Linkers for the two kinds of plugins.
pub(crate) struct Linkers {
    /// The contract alone: nothing in it can wait.
    pub(crate) pure: Linker<Host>,
    /// The contract and WASI 0.2, closed: no files, no network, no environment.
    pub(crate) wasi: Linker<Host>,
}

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> wasmtime::Result<Linkers> {
        let mut pure = Linker::new(engine);
        link(&mut pure)?;
        let mut wasi = Linker::new(engine);
        link(&mut wasi)?;
        wasi::link(&mut wasi)?;
        Ok(Linkers { pure, wasi })
    }
}

fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.instance(&interface("types"))?;
    heads::link_request(&mut linker.instance(&interface("request"))?)?;
    heads::link_response(&mut linker.instance(&interface("response"))?)?;
    reply::link(&mut linker.instance(&interface("reply"))?)?;
    attributes::link(&mut linker.instance(&interface("attributes"))?)?;
    log::link(&mut linker.instance(&interface("log"))?)?;
    metrics::link(&mut linker.instance(&interface("metrics"))?)?;
    clock::link(&mut linker.instance(&interface("clock"))?)?;
    limiter::link(&mut linker.instance(&interface("limiter"))?)?;
    interest::link(&mut linker.instance(&interface("interest"))?)
}

/// The full name of an interface of the contract.
pub(crate) fn interface(name: &str) -> String {
    format!("tidegate:plugin/{name}@{CONTRACT}")
}

impl Host {
    pub(crate) fn new(
        namespace: Arc<Namespace>,
        version: Arc<str>,
        memory_limit: usize,
        start: Instant,
        wasi: bool,
    ) -> Host {
        Host {
            exchange: Box::default(),
            interest: None,
            overtime: None,
            memory: Memory {
                used: 0,
                limit: memory_limit,
            },
            wasi: wasi.then(|| wasi::State::new(&namespace, &version, start)),
            namespace,
            version,
            start,
            series: HashMap::new(),
        }
    }

    /// Nanoseconds since the runtime was made.
    fn monotonic(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Memory {
    /// Whether the guest uses so much that it may soon hit its limit.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.used > self.limit / 4 * 3
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Of all memories together: a component can have several.
        let wanted = self.used.saturating_sub(current).saturating_add(desired);
        if wanted > self.limit {
            // A guest that sees the growth fail would abort with a trap that says nothing.
            return Err(wasmtime::Error::new(MemoryExceeded {
                wanted,
                limit: self.limit,
            }));
        }
        self.used = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= 40_000)
    }
}
