//! The Wasmtime engine and the thread that moves its epoch.
//!
//! The numbers follow measurements: without concurrency support a call costs a quarter, pages kept
//! resident spare system calls, and the epoch has to be ticked by a thread of its own, because a guest
//! that spins on an async worker also stops that worker's timers.

use crate::runtime::Options;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How often the epoch moves: the grain of deadlines.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Epochs in a time; one more, because the first may end at once.
pub(crate) fn ticks(time: Duration) -> u64 {
    let ticks = time.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(ticks).unwrap_or(u64::MAX / 2) + 1
}

/// The most memory of one instance that any configuration can allow.
const MEMORY_BYTES_MAX: usize = 4 << 30;

/// Places of instances that are gone, kept with their memory for a next instance of the same version.
/// Versions that are gone have no next one, so each swap uses up a place until there are this many.
const WARM_SLOTS_MAX: u32 = 32;

/// The engine; its ticker ends when it is dropped.
pub(crate) struct TickingEngine {
    pub(crate) engine: Engine,
    stop: Arc<AtomicBool>,
}

impl TickingEngine {
    pub(crate) fn new(options: &Options) -> wasmtime::Result<TickingEngine> {
        let mut config = code();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(options)));
        let engine = Engine::new(&config)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (weak, stopped) = (engine.weak(), stop.clone());
        std::thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    match weak.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => return,
                    }
                }
            })
            .map_err(wasmtime::Error::new)?;
        Ok(TickingEngine { engine, stop })
    }
}

impl Drop for TickingEngine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
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
