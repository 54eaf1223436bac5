//! One instance in a store of its own, and one call on it.

use crate::host::{Host, Origin};
use crate::overtime::CallClock;
use crate::trap::failure;
use crate::version::PluginVersion;
use crate::wit::{WitAction, WitBodyAction, WitConfigError};
use bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tidegate_chain::{Action, Call, Exchange, Failure, FailureKind, Interest, Phase};
use wasmtime::component::{Func, InstancePre, TypedFunc};
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};

/// How long `configure` may take: it runs when an instance is made, which a request may wait for.
const CONFIGURE_DEADLINE: Duration = Duration::from_secs(1);

/// Bytes of one piece of a reply's body.
const PIECE_BYTES_MAX: usize = tidegate_chain::Reply::BODY_BYTES_MAX;

/// Bytes that one call of the host may lift out of the guest; Wasmtime's own limit is 128 MiB. The
/// largest thing in the contract is the body of a reply.
const HOSTCALL_BYTES_MAX: usize = 4 * tidegate_chain::Reply::BODY_BYTES_MAX;

type Configure = TypedFunc<(String,), (Result<(), Vec<WitConfigError>>,)>;
type Piece = Result<Option<Vec<u8>>, ()>;

/// The export that a phase calls.
#[derive(Clone, Copy)]
enum Handler {
    Decides(TypedFunc<(), (WitAction,)>),
    /// Its argument borrows, and a typed function would have to know for how long.
    Body(Func),
    Piece(TypedFunc<(), (Piece,)>),
    Tells(TypedFunc<(), ()>),
}

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

/// From what instances are made.
pub(crate) struct Template {
    pub(crate) version: Arc<PluginVersion>,
    pub(crate) pre: InstancePre<Host>,
    pub(crate) origin: Origin,
    pub(crate) config: Arc<str>,
    /// Whether calls can wait.
    pub(crate) waits: bool,
}

impl Instance {
    /// Make an instance and configure it; also say what it is interested in.
    pub(crate) fn start(template: &Template) -> Result<(Instance, Interest), StartError> {
        let mut store = template.store();
        let instance = template.pre.instantiate(&mut store)?;
        let configure = template.version.configure;
        let configure: Configure = instance.get_typed_func(&mut store, configure)?;
        let (answer,) = configure.call(&mut store, (template.config.to_string(),))?;
        answer.map_err(StartError::Configuration)?;
        Ok(Instance::ready(&template.version, store, &instance)?)
    }

    /// As [`Instance::start`], for a plugin that can wait.
    pub(crate) async fn start_waiting(
        template: &Template,
    ) -> Result<(Instance, Interest), StartError> {
        let started = Instance::start_in_time(template);
        match tokio::time::timeout(CONFIGURE_DEADLINE, started).await {
            Ok(started) => started,
            Err(_) => Err(StartError::Failure(late())),
        }
    }

    async fn start_in_time(template: &Template) -> Result<(Instance, Interest), StartError> {
        let mut store = template.store();
        let busy = store.data().clock.busy();
        let work = async {
            let instance = template.pre.instantiate_async(&mut store).await?;
            let configure = template.version.configure;
            let configure: Configure = instance.get_typed_func(&mut store, configure)?;
            let config = template.config.to_string();
            let (answer,) = configure.call_async(&mut store, (config,)).await?;
            Ok::<_, wasmtime::Error>((instance, answer))
        };
        let (instance, answer) = CallClock::drive(busy, work).await?;
        answer.map_err(StartError::Configuration)?;
        Ok(Instance::ready(&template.version, store, &instance)?)
    }

    fn ready(
        version: &PluginVersion,
        mut store: Store<Host>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<(Instance, Interest)> {
        let mut handlers = [const { None }; Phase::ALL.len()];
        let exported = Phase::ALL.into_iter().zip(&version.handlers);
        for (slot, (phase, index)) in handlers.iter_mut().zip(exported) {
            let Some(index) = index else { continue };
            let store = &mut store;
            *slot = Some(match phase {
                Phase::RequestBody | Phase::ResponseBody => {
                    let function = instance.get_func(&mut *store, index);
                    let function =
                        function.ok_or_else(|| wasmtime::Error::msg("not a function"))?;
                    function.typed::<Data<'_>, (WitBodyAction,)>(&store)?;
                    Handler::Body(function)
                }
                Phase::ReplyBody => Handler::Piece(instance.get_typed_func(store, index)?),
                Phase::Log | Phase::Tick => Handler::Tells(instance.get_typed_func(store, index)?),
                _ => Handler::Decides(instance.get_typed_func(store, index)?),
            });
        }
        store.data_mut().clock.end();
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
        call: Call<'_>,
        exchange: &mut Box<Exchange>,
        deadline: Duration,
    ) -> Result<Action, Failure> {
        let handler = self.handler(call.phase)?;
        let lent = Lent::new(&mut self.store, exchange, deadline, false);
        let called = AssertUnwindSafe(|| enter(handler, call, &mut *lent.store));
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
        call: Call<'_>,
        exchange: &mut Box<Exchange>,
        deadline: Duration,
        wait: Duration,
    ) -> Result<Action, Failure> {
        let handler = self.handler(call.phase)?;
        let lent = Lent::new(&mut self.store, exchange, deadline, true);
        let busy = lent.store.data().clock.busy();
        // The epoch does not move a guest that waits, so the clock on the wall counts as well.
        let called = CallClock::drive(busy, enter_waiting(handler, call, &mut *lent.store));
        let answer = tokio::time::timeout(wait, called).await;
        drop(lent);
        match answer {
            Ok(answer) => action(answer),
            Err(_) => Err(late()),
        }
    }

    /// No exchange has it any more.
    pub(crate) fn end_calls(&mut self) {
        self.store.data_mut().end_calls();
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

/// The arguments of a body phase.
type Data<'a> = (&'a [u8], bool);

/// What an export answered.
enum Answer {
    Head(WitAction),
    Body(WitBodyAction),
    Piece(Piece),
    Nothing,
}

fn enter(handler: Handler, call: Call<'_>, store: &mut Store<Host>) -> wasmtime::Result<Answer> {
    Ok(match handler {
        Handler::Decides(function) => Answer::Head(function.call(store, ())?.0),
        Handler::Body(function) => {
            let function = function.typed::<Data<'_>, (WitBodyAction,)>(&*store)?;
            Answer::Body(function.call(store, (call.data, call.end))?.0)
        }
        Handler::Piece(function) => Answer::Piece(function.call(store, ())?.0),
        Handler::Tells(function) => {
            function.call(store, ())?;
            Answer::Nothing
        }
    })
}

async fn enter_waiting(
    handler: Handler,
    call: Call<'_>,
    store: &mut Store<Host>,
) -> wasmtime::Result<Answer> {
    Ok(match handler {
        Handler::Decides(function) => Answer::Head(function.call_async(store, ()).await?.0),
        Handler::Body(function) => {
            let function = function.typed::<Data<'_>, (WitBodyAction,)>(&*store)?;
            let data = (call.data, call.end);
            Answer::Body(function.call_async(store, data).await?.0)
        }
        Handler::Piece(function) => Answer::Piece(function.call_async(store, ()).await?.0),
        Handler::Tells(function) => {
            function.call_async(store, ()).await?;
            Answer::Nothing
        }
    })
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
        waits: bool,
    ) -> Lent<'a> {
        start_clock(store, waits, deadline);
        std::mem::swap(&mut store.data_mut().exchange, exchange);
        Lent { store, exchange }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let host = self.store.data_mut();
        host.clock.end();
        std::mem::swap(&mut host.exchange, self.exchange);
    }
}

/// The guest is about to compute.
fn start_clock(store: &mut Store<Host>, waits: bool, deadline: Duration) {
    let ticks = store.data_mut().clock.start(waits, deadline);
    store.set_epoch_deadline(ticks.into());
    store.data().clock.started(ticks);
}

fn action(answer: wasmtime::Result<Answer>) -> Result<Action, Failure> {
    let bytes = |data: Vec<u8>| {
        if data.len() > PIECE_BYTES_MAX {
            return Err(Failure {
                kind: FailureKind::Error,
                message: format!("it answered with {} bytes at once", data.len()),
            });
        }
        Ok(Bytes::from(data))
    };
    Ok(match answer.map_err(|error| failure(&error))? {
        Answer::Nothing | Answer::Head(WitAction::Proceed) | Answer::Body(WitBodyAction::Pass) => {
            Action::Proceed
        }
        Answer::Head(WitAction::Respond) | Answer::Body(WitBodyAction::Respond) => Action::Respond,
        Answer::Body(WitBodyAction::Replace(data)) => Action::Replace(data.into()),
        Answer::Body(WitBodyAction::Append(data)) => Action::Append(data.into()),
        Answer::Body(WitBodyAction::Drop) => Action::Replace(Bytes::new()),
        Answer::Piece(Ok(piece)) => Action::Piece(piece.map(bytes).transpose()?),
        Answer::Head(WitAction::Fail)
        | Answer::Body(WitBodyAction::Fail)
        | Answer::Piece(Err(())) => {
            return Err(Failure {
                kind: FailureKind::Error,
                message: "it said that it could not decide".to_owned(),
            });
        }
    })
}

fn late() -> Failure {
    Failure {
        kind: FailureKind::Deadline,
        message: "it did not answer within its deadline".to_owned(),
    }
}

impl Template {
    fn store(&self) -> Store<Host> {
        let mut store = Store::new(self.pre.engine(), Host::new(&self.origin));
        store.limiter(|host| &mut host.memory);
        // What a guest hands over at once: the body of a reply, or one that it was asked to change.
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX + 2 * self.origin.body_bytes);
        store.epoch_deadline_callback(|mut store| {
            Ok(match store.data_mut().clock.ask() {
                Some(ticks) => UpdateDeadline::Continue(ticks),
                None => UpdateDeadline::Interrupt,
            })
        });
        start_clock(&mut store, self.waits, CONFIGURE_DEADLINE);
        store
    }
}
