//! The Wasmtime engine, with a thread that moves its epoch.
//!
//! The numbers follow measurements: without concurrency support a call costs a quarter, and pages kept
//! resident spare system calls.

use crate::runtime::Options;
use crate::ticker::Ticker;
use std::num::NonZeroUsize;
use std::sync::Arc;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// The most memory of one instance that any configuration can allow.
const MEMORY_BYTES_MAX: usize = 4 << 30;

/// Places of instances that are gone, kept with their memory for a next instance of the same version.
/// Versions that are gone have no next one, so each swap uses up a place until there are this many.
const WARM_SLOTS_MAX: u32 = 32;

/// The engine; its ticker ends when it is dropped.
pub(crate) struct TickingEngine {
    pub(crate) engine: Engine,
    pub(crate) ticker: Arc<Ticker>,
}

impl TickingEngine {
    pub(crate) fn new(options: &Options) -> wasmtime::Result<TickingEngine> {
        let mut config = code();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(options)));
        let engine = Engine::new(&config)?;
        let ticker = Arc::new(Ticker::new());
        let (ticking, ticked) = (ticker.clone(), engine.clone());
        std::thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || ticking.run(|| ticked.increment_epoch()))
            .map_err(wasmtime::Error::new)?;
        Ok(TickingEngine { engine, ticker })
    }
}

impl Drop for TickingEngine {
    fn drop(&mut self) {
        self.ticker.stop();
    }
}

/// An engine that only compiles, for every engine of [`TickingEngine`].
pub(crate) fn for_compiling() -> wasmtime::Result<Engine> {
    Engine::new(&code())
}

/// What compiled code depends on.
fn code() -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(16))
        // Offsets in the guest for each instruction; what is said of a trap has names of functions alone.
        .generate_address_map(false)
        .memory_init_cow(true);
    config
}

fn pool(options: &Options) -> PoolingAllocationConfig {
    let instances = options.instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        // wit-component adds a shim and a fixup module; adapters one more.
        .total_core_instances(instances.saturating_mul(4))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(2))
        .total_stacks(instances)
        .max_memory_size(MEMORY_BYTES_MAX)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_core_instances_per_component(40)
        .max_tables_per_component(40)
        .table_elements(40_000)
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(instances.min(WARM_SLOTS_MAX));
    pool
}
