//! What a plugin can call: one file per interface of the contract. The list below is the list of
//! everything that the sandbox lets out.

mod attributes;
mod body;
mod clock;
mod crypto;
mod heads;
mod http_client;
mod interest;
mod kv;
mod limiter;
pub(crate) mod log;
mod metrics;
mod outcome;
mod random;
mod reply;
mod secrets;
mod upstream;
mod wasi;

use crate::capabilities::Capabilities;
use crate::namespace::{Namespace, Series, SeriesKind};
use crate::overtime::CallClock;
use crate::ticker::Ticker;
use crate::trap::MemoryExceeded;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tidegate_capability::crypto::KeySet;
use tidegate_chain::{EditNames, Exchange, Interest};
use wasmtime::component::Linker;
use wasmtime::{Engine, ResourceLimiter};

/// The contract's version that this host speaks.
pub const CONTRACT: &str = "0.1.2";

/// The host's side of one instance: what its imports work on.
pub(crate) struct Host {
    /// The current exchange during a call, an empty one otherwise.
    pub(crate) exchange: Box<Exchange>,
    /// What the plugin is interested in, while it is being configured.
    pub(crate) interest: Option<Interest>,
    pub(crate) memory: Memory,
    /// How long the present call has computed.
    pub(crate) clock: CallClock,
    pub(crate) capabilities: Arc<Capabilities>,
    /// The largest body, or part of one, that the plugin may ask for.
    body_bytes: usize,
    /// Whether it exports `on-reply-body`.
    gives_reply_bodies: bool,
    /// Names of secrets, by handle.
    opened: Vec<String>,
    /// Keys that were given as text, and what they are.
    key_sets: Vec<(String, KeySet)>,
    calls: http_client::Calls,
    namespace: Arc<Namespace>,
    version: Arc<str>,
    start: Instant,
    /// Fields that it edited before.
    names: EditNames,
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

/// What in a plugin's imports can wait, where that depends on more than the import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// It was built for WASI, whose functions wait.
    pub(crate) wasi: bool,
    /// One of its stores is in Redis.
    pub(crate) kv: bool,
    /// Its limits are in Redis.
    pub(crate) limiter: bool,
}

/// Linkers, made when they are first needed: whether a function is called synchronously is a property of
/// the linker.
pub(crate) struct Linkers {
    engine: Engine,
    all: [OnceLock<Linker<Host>>; 8],
}

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> Linkers {
        Linkers {
            engine: engine.clone(),
            all: Default::default(),
        }
    }

    /// The linker for what waits.
    pub(crate) fn get(&self, waits: Waits) -> wasmtime::Result<&Linker<Host>> {
        let index =
            usize::from(waits.wasi) | usize::from(waits.kv) << 1 | usize::from(waits.limiter) << 2;
        let slot = &self.all[index % self.all.len()];
        if let Some(linker) = slot.get() {
            return Ok(linker);
        }
        let mut linker = Linker::new(&self.engine);
        link(&mut linker, waits)?;
        if waits.wasi {
            wasi::link(&mut linker)?;
        }
        Ok(slot.get_or_init(|| linker))
    }
}

fn link(linker: &mut Linker<Host>, waits: Waits) -> wasmtime::Result<()> {
    linker.instance(&interface("types"))?;
    heads::link_request(&mut linker.instance(&interface("request"))?)?;
    heads::link_response(&mut linker.instance(&interface("response"))?)?;
    heads::link_trailers(&mut linker.instance(&interface("trailers"))?)?;
    body::link(&mut linker.instance(&interface("body"))?)?;
    upstream::link(&mut linker.instance(&interface("upstream"))?)?;
    outcome::link(&mut linker.instance(&interface("outcome"))?)?;
    reply::link(&mut linker.instance(&interface("reply"))?)?;
    attributes::link(&mut linker.instance(&interface("attributes"))?)?;
    log::link(&mut linker.instance(&interface("log"))?)?;
    metrics::link(&mut linker.instance(&interface("metrics"))?)?;
    clock::link(&mut linker.instance(&interface("clock"))?)?;
    random::link(&mut linker.instance(&interface("random"))?)?;
    secrets::link(&mut linker.instance(&interface("secrets"))?)?;
    kv::link(&mut linker.instance(&interface("kv"))?, waits.kv)?;
    http_client::link(&mut linker.instance(&interface("http-client"))?)?;
    crypto::link(&mut linker.instance(&interface("crypto"))?)?;
    limiter::link(&mut linker.instance(&interface("limiter"))?, waits.limiter)?;
    interest::link(&mut linker.instance(&interface("interest"))?)
}

/// The full name of an interface of the contract.
pub(crate) fn interface(name: &str) -> String {
    format!("tidegate:plugin/{name}@{CONTRACT}")
}

/// Whether `full` is the interface `name` in a version that this host speaks: what was released as 0.1.x
/// is still there.
pub(crate) fn is_interface(full: &str, name: &str) -> bool {
    full.strip_prefix("tidegate:plugin/")
        .and_then(|rest| rest.strip_prefix(name))
        .is_some_and(|version| version.starts_with("@0.1."))
}

/// What a host's side of an instance is made from.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) version: Arc<str>,
    pub(crate) capabilities: Arc<Capabilities>,
    pub(crate) memory: usize,
    pub(crate) body_bytes: usize,
    pub(crate) gives_reply_bodies: bool,
    pub(crate) wasi: bool,
    pub(crate) start: Instant,
    pub(crate) ticker: Arc<Ticker>,
}

impl Host {
    pub(crate) fn new(origin: &Origin) -> Host {
        let Origin {
            namespace,
            version,
            start,
            ..
        } = origin;
        Host {
            exchange: Box::default(),
            interest: Some(Interest::default()),
            clock: CallClock::new(origin.ticker.clone()),
            memory: Memory {
                used: 0,
                limit: origin.memory,
            },
            wasi: origin
                .wasi
                .then(|| wasi::State::new(namespace, version, *start, &origin.capabilities)),
            namespace: namespace.clone(),
            version: version.clone(),
            capabilities: origin.capabilities.clone(),
            body_bytes: origin.body_bytes,
            gives_reply_bodies: origin.gives_reply_bodies,
            opened: Vec::new(),
            key_sets: Vec::new(),
            calls: http_client::Calls::default(),
            start: *start,
            names: EditNames::default(),
            series: HashMap::new(),
        }
    }

    /// The instance is nobody's for now: HTTP calls that it left under way end.
    pub(crate) fn end_calls(&mut self) {
        self.calls.end();
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
