//! One instance in a store of its own, and one call on it.

use crate::engine::ticks;
use crate::host::Host;
use crate::overtime::Overtime;
use crate::trap::failure;
use crate::version::PluginVersion;
use crate::wit::{WitAction, WitConfigError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tidegate_chain::{Action, Exchange, Failure, FailureKind, Interest, Phase};
use wasmtime::component::TypedFunc;
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};

/// How long `configure` may take: it runs when an instance is made, which a request may wait for.
const CONFIGURE_DEADLINE: Duration = Duration::from_secs(1);

/// Bytes that one call of the host may lift out of the guest; Wasmtime's own limit is 128 MiB. The
/// largest thing in the contract is the body of a reply.
const HOSTCALL_BYTES_MAX: usize = 4 * tidegate_chain::Reply::BODY_BYTES_MAX;

type Handler = TypedFunc<(), (WitAction,)>;
type Configure = TypedFunc<(String,), (Result<(), Vec<WitConfigError>>,)>;

/// A configured instance.
pub(crate) struct Instance {
    store: Store<Host>,
    handlers: [Option<Handler>; Phase::ALL.len()],
    /// Memory in use after `configure`: what a leak is measured against.
    memory_at_start: usize,
}

/// Why there is no instance.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The plugin does not accept its configuration.
    Configuration(Vec<WitConfigError>),
    /// It failed before it could say.
    Failure(Failure),
    /// As many instances live as may.
    Full,
}

impl From<wasmtime::Error> for StartError {
    fn from(error: wasmtime::Error) -> StartError {
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return StartError::Full;
        }
        StartError::Failure(failure(&error))
    }
}

impl Instance {
    /// Make an instance and configure it; also say what it is interested in.
    pub(crate) fn start(
        version: &PluginVersion,
        host: Host,
        config: &str,
    ) -> Result<(Instance, Interest), StartError> {
        let mut store = new_store(version, host);
        let instance = version.pre.instantiate(&mut store)?;
        let configure: Configure = instance.get_typed_func(&mut store, version.configure)?;
        let (answer,) = configure.call(&mut store, (config.to_owned(),))?;
        answer.map_err(StartError::Configuration)?;
        Ok(Instance::ready(version, store, &instance)?)
    }

    /// As [`Instance::start`], for a plugin that can wait.
    pub(crate) async fn start_waiting(
        version: &PluginVersion,
        host: Host,
        config: &str,
    ) -> Result<(Instance, Interest), StartError> {
        let started = Instance::start_in_time(version, host, config);
        match tokio::time::timeout(CONFIGURE_DEADLINE, started).await {
            Ok(started) => started,
            Err(_) => Err(StartError::Failure(late())),
        }
    }

    async fn start_in_time(
        version: &PluginVersion,
        host: Host,
        config: &str,
    ) -> Result<(Instance, Interest), StartError> {
        let mut store = new_store(version, host);
        let instance = version.pre.instantiate_async(&mut store).await?;
        let configure: Configure = instance.get_typed_func(&mut store, version.configure)?;
        let (answer,) = configure
            .call_async(&mut store, (config.to_owned(),))
            .await?;
        answer.map_err(StartError::Configuration)?;
        Ok(Instance::ready(version, store, &instance)?)
    }

    fn ready(
        version: &PluginVersion,
        mut store: Store<Host>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<(Instance, Interest)> {
        let mut handlers = [const { None }; Phase::ALL.len()];
        for (slot, index) in handlers.iter_mut().zip(&version.handlers) {
            if let Some(index) = index {
                *slot = Some(instance.get_typed_func(&mut store, index)?);
            }
        }
        let interest = store.data_mut().interest.take().unwrap_or_default();
        let memory_at_start = store.data().memory.used;
        let instance = Instance {
            store,
            handlers,
            memory_at_start,
        };
        Ok((instance, interest))
    }

    /// Call a phase. After an error the instance is of no further use.
    pub(crate) fn call(
        &mut self,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        deadline: Duration,
    ) -> Result<Action, Failure> {
        let handler = self.handler(phase)?;
        let lent = Lent::new(&mut self.store, exchange, deadline);
        let called = AssertUnwindSafe(|| handler.call(&mut *lent.store, ()));
        let answer = catch_unwind(called);
        drop(lent);
        match answer {
            Ok(answer) => action(answer),
            // A mistake of ours in an import; what it was on is thrown away with the instance.
            Err(_) => Err(Failure {
                kind: FailureKind::Trap,
                message: "a host function panicked".to_owned(),
            }),
        }
    }

    /// As [`Instance::call`], for a plugin that can wait. When the future is dropped, the exchange is
    /// back in its place.
    pub(crate) async fn call_waiting(
        &mut self,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        deadline: Duration,
    ) -> Result<Action, Failure> {
        let handler = self.handler(phase)?;
        let lent = Lent::new(&mut self.store, exchange, deadline);
        // The epoch does not move a guest that waits, so the clock on the wall counts as well.
        let called = handler.call_async(&mut *lent.store, ());
        let answer = tokio::time::timeout(deadline, called).await;
        drop(lent);
        match answer {
            Ok(answer) => action(answer),
            Err(_) => Err(late()),
        }
    }

    /// Whether it is worth another call: a guest that leaks is replaced before it hits its limit.
    pub(crate) fn is_fit(&self) -> bool {
        let memory = &self.store.data().memory;
        !memory.is_nearly_full() || memory.used <= self.memory_at_start
    }

    fn handler(&self, phase: Phase) -> Result<Handler, Failure> {
        let handler = self.handlers.get(phase as usize).copied().flatten();
        handler.ok_or_else(|| Failure {
            kind: FailureKind::Error,
            message: format!("it does not export `on-{}`", phase.name()),
        })
    }
}

/// The exchange, lent to an instance for one call; it comes back however the call ends.
struct Lent<'a> {
    store: &'a mut Store<Host>,
    exchange: &'a mut Box<Exchange>,
}

impl<'a> Lent<'a> {
    fn new(
        store: &'a mut Store<Host>,
        exchange: &'a mut Box<Exchange>,
        deadline: Duration,
    ) -> Lent<'a> {
        if let Some(overtime) = &mut store.data_mut().overtime {
            *overtime = Overtime::new(deadline);
            store.set_epoch_deadline(ticks(deadline / 2));
        } else {
            store.set_epoch_deadline(ticks(deadline));
        }
        std::mem::swap(&mut store.data_mut().exchange, exchange);
        Lent { store, exchange }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        std::mem::swap(&mut self.store.data_mut().exchange, self.exchange);
    }
}

fn action(answer: wasmtime::Result<(WitAction,)>) -> Result<Action, Failure> {
    match answer {
        Ok((WitAction::Proceed,)) => Ok(Action::Proceed),
        Ok((WitAction::Respond,)) => Ok(Action::Respond),
        Ok((WitAction::Fail,)) => Err(Failure {
            kind: FailureKind::Error,
            message: "it said that it could not decide".to_owned(),
        }),
        Err(error) => Err(failure(&error)),
    }
}

fn late() -> Failure {
    Failure {
        kind: FailureKind::Deadline,
        message: "it did not answer within its deadline".to_owned(),
    }
}

fn new_store(version: &PluginVersion, mut host: Host) -> Store<Host> {
    host.interest = Some(Interest::default());
    let mut store = Store::new(version.pre.engine(), host);
    store.limiter(|host| &mut host.memory);
    store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
    store.set_epoch_deadline(ticks(CONFIGURE_DEADLINE));
    if !version.waits {
        // Of a plugin that waits, the wall clock counts: it may be moved from thread to thread.
        store.data_mut().overtime = Some(Overtime::new(CONFIGURE_DEADLINE));
        store.set_epoch_deadline(ticks(CONFIGURE_DEADLINE / 2));
        store.epoch_deadline_callback(|mut store| {
            let overtime = store.data_mut().overtime.as_mut();
            Ok(match overtime.and_then(Overtime::ask) {
                Some(ticks) => UpdateDeadline::Continue(ticks),
                None => UpdateDeadline::Interrupt,
            })
        });
    }
    store
}
