//! A version of a plugin with one configuration: what a chain calls.

use crate::capabilities::Capabilities;
use crate::host::{Linkers, Origin, Waits};
use crate::instance::{Instance, StartError, Template};
use crate::kept::{KeptInstance, OpenBodies};
use crate::namespace::Namespace;
use crate::pool::{Place, Pool, Pools};
use crate::ticker::Ticker;
use crate::version::PluginVersion;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tidegate_chain::{
    Action, Call, Exchange, Failure, FailureKind, Interest, Phase, PhaseSet, Plugin, Policy,
    VersionMeters, Waiting,
};
use tokio::time::MissedTickBehavior;

/// What all bindings share.
pub(crate) struct Shared<'a> {
    pub(crate) linkers: &'a Linkers,
    pub(crate) pools: &'a Arc<Pools>,
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) threads: usize,
    pub(crate) start: Instant,
    pub(crate) ticker: &'a Arc<Ticker>,
}

/// What a plugin may use, and what happens when it fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What one call may compute.
    pub deadline: Duration,
    /// What one call may take, waits included.
    pub wait: Duration,
    /// Bytes of memory of one instance.
    pub memory: usize,
    /// Bytes of the largest body, or part of one, that it may ask to have held.
    pub body_bytes: usize,
    /// Whether one exchange after the other may have the same instance.
    pub reuse: bool,
    /// What happens on a failure.
    pub policy: Policy,
    /// What it was granted.
    pub capabilities: Arc<Capabilities>,
}

/// A configured plugin.
pub struct Binding {
    template: Template,
    settings: Settings,
    interest: Interest,
    pool: Arc<Pool>,
    pools: Arc<Pools>,
    ticks: AtomicBool,
    /// The instance that is called when time has passed.
    ticking: Mutex<Option<KeptInstance>>,
}

/// A mistake in a plugin's configuration, found by the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Keys and indexes joined by dots; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Why a configuration cannot be bound to a plugin.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The plugin refused it.
    #[error("the plugin does not accept its configuration")]
    Configuration(Vec<ConfigError>),
    /// `configure` failed.
    #[error("the plugin failed while it was configured: {0}")]
    Failure(#[from] Failure),
    /// It imports what it was not granted.
    #[error("it imports `{0}`, which it is not allowed")]
    NotAllowed(String),
}

impl From<StartError> for BindError {
    fn from(error: StartError) -> BindError {
        match error {
            StartError::Failure(failure) => BindError::Failure(failure),
            StartError::Full => BindError::Failure(full()),
            StartError::Configuration(errors) => {
                let errors = errors.into_iter().map(|error| ConfigError {
                    path: error.path,
                    message: error.message,
                });
                BindError::Configuration(errors.collect())
            }
        }
    }
}

impl Binding {
    /// Configure a first instance; it becomes the pool's first.
    pub(crate) async fn new(
        version: Arc<PluginVersion>,
        config: Arc<str>,
        settings: Settings,
        shared: Shared<'_>,
    ) -> Result<Binding, BindError> {
        let imports = version.imports();
        let granted = &settings.capabilities;
        if let Some(word) = imports.capabilities().find(|word| !granted.allows(word)) {
            return Err(BindError::NotAllowed(word.to_owned()));
        }
        let kinds = Waits {
            wasi: imports.wasi(),
            kv: imports.uses("kv") && granted.kv_waits(),
            limiter: imports.uses("limiter") && granted.limiter.is_some(),
        };
        let waits = kinds != Waits::default() || imports.waiting().is_some();
        let linker = shared.linkers.get(kinds).map_err(StartError::from)?;
        let pre = linker
            .instantiate_pre(&version.component)
            .map_err(StartError::from)?;
        let origin = Origin {
            namespace: shared.namespace,
            version: version.version.clone(),
            capabilities: granted.clone(),
            memory: settings.memory,
            body_bytes: settings.body_bytes,
            gives_reply_bodies: version.phases().contains(Phase::ReplyBody),
            wasi: kinds.wasi,
            start: shared.start,
            ticker: shared.ticker.clone(),
        };
        shared.ticker.serve(settings.deadline);
        // Calls that wait overlap on one thread; those that do not, do not.
        let depth = if waits { 32 } else { 2 };
        let reuse = settings.reuse;
        let mut binding = Binding {
            template: Template {
                version,
                pre,
                origin,
                config,
                waits,
            },
            settings,
            interest: Interest::default(),
            pool: match reuse {
                true => shared.pools.pool(shared.threads, depth),
                false => Arc::new(Pool::none()),
            },
            pools: shared.pools.clone(),
            ticks: AtomicBool::new(false),
            ticking: Mutex::default(),
        };
        let (instance, interest) = if waits {
            binding.start_waiting().await?
        } else {
            binding.start()?
        };
        binding.interest = interest;
        binding.pool.put(instance);
        Ok(binding)
    }

    /// The version behind it.
    pub fn version(&self) -> &Arc<PluginVersion> {
        &self.template.version
    }

    /// Whether it is this version with this configuration and these settings.
    pub(crate) fn is(&self, version: &PluginVersion, config: &str, settings: &Settings) -> bool {
        let own = &self.template.version;
        own.digest == version.digest
            && own.name == version.name
            && *self.template.config == *config
            && self.settings == *settings
    }

    /// A new instance; where as many live as may, idle ones of others make room.
    fn start(&self) -> Result<(Box<Instance>, Interest), StartError> {
        let start = || Instance::start(&self.template);
        let started = match start() {
            Err(StartError::Full) => {
                self.pools.evict();
                start()
            }
            other => other,
        };
        started.map(|(instance, interest)| (Box::new(instance), interest))
    }

    async fn start_waiting(&self) -> Result<(Box<Instance>, Interest), StartError> {
        let start = || Instance::start_waiting(&self.template);
        let started = match start().await {
            Err(StartError::Full) => {
                self.pools.evict();
                start().await
            }
            other => other,
        };
        started.map(|(instance, interest)| (Box::new(instance), interest))
    }

    /// The instance that the exchange keeps; or a place for one, where it is to keep it from now on.
    fn kept(&self, call: &Call<'_>, exchange: &mut Exchange) -> Result<Kept, Failure> {
        let kept = exchange.take_kept(call.place);
        let kept = kept.and_then(|kept| kept.downcast::<KeptInstance>().ok());
        if let Some((instance, open, place)) = kept.and_then(|kept| kept.take()) {
            return Ok(Kept {
                instance: Some(instance),
                place: Some((open, place)),
            });
        }
        let keep = call.keep || !self.settings.reuse;
        let place = keep.then(|| self.place()).transpose()?;
        Ok(Kept {
            instance: self.pool.take(),
            place,
        })
    }

    fn place(&self) -> Result<(OpenBodies, Place), Failure> {
        let place = self.pools.keep().ok_or_else(|| Failure {
            kind: FailureKind::Error,
            message:
                "half of all plugin instances are kept by exchanges, because bodies stream or `reuse` is \
                      off; raise `instances` of `[plugins]`"
                    .to_owned(),
        })?;
        Ok((OpenBodies::default(), place))
    }

    /// Keep an instance that answered; an instance that failed is dropped with its store.
    fn settle(
        &self,
        mut instance: Box<Instance>,
        place: Option<(OpenBodies, Place)>,
        call: &Call<'_>,
        exchange: &mut Exchange,
        answer: Result<Action, Failure>,
    ) -> Result<Action, Failure> {
        let begins_reply = exchange.reply.as_ref().is_some_and(|r| r.pieces.is_some());
        let action = match &answer {
            Ok(action) => action,
            // It answered, and said so: nothing is broken.
            Err(failure) if failure.kind == FailureKind::Error => &Action::Proceed,
            Err(_) => return answer,
        };
        let place = match place {
            None if begins_reply => Some(self.place()?),
            place => place,
        };
        if let Some((open, place)) = place {
            let open = open.after(call, action);
            let kept = KeptInstance::new(instance, open, &self.pool, place);
            exchange.keep(call.place, Box::new(kept));
        } else if instance.is_fit() {
            instance.end_calls();
            self.pool.put(instance);
        }
        answer
    }

    /// Call `on-tick` in its period for as long as the binding is in use.
    async fn tick(this: Weak<Binding>, period: Duration) {
        let mut times = tokio::time::interval(period);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            let Some(binding) = this.upgrade() else {
                return;
            };
            binding.tick_once().await;
        }
    }

    /// One tick, on an instance of its own: the one instance of the process that is called so.
    async fn tick_once(&self) {
        let mut exchange = Box::<Exchange>::default();
        exchange.phase = Some(Phase::Tick);
        let call = Call {
            phase: Phase::Tick,
            place: 0,
            data: &[],
            end: false,
            keep: true,
        };
        let ticking = || self.ticking.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = ticking().take();
        if let Some(kept) = kept {
            exchange.keep(call.place, Box::new(kept));
        }
        let start = Instant::now();
        let answer = if self.waits() {
            self.call_waiting(call, &mut exchange).await
        } else {
            self.call(call, &mut exchange)
        };
        self.meters().called(Phase::Tick, start.elapsed());
        if let Err(failure) = answer {
            self.meters().failed(Phase::Tick, failure.kind);
            let plugin = &**self.name();
            tracing::warn!(
                plugin,
                kind = failure.kind.name(),
                "on-tick failed: {}",
                failure.message
            );
        }
        let instance = exchange.take_kept(call.place);
        *ticking() = instance
            .and_then(|kept| kept.downcast().ok())
            .map(|kept| *kept);
    }
}

/// What there is for a call.
struct Kept {
    /// The exchange's own, or an idle one.
    instance: Option<Box<Instance>>,
    /// Where the instance is kept afterwards, and what the exchange has begun on it.
    place: Option<(OpenBodies, Place)>,
}

impl Plugin for Binding {
    fn name(&self) -> &Arc<str> {
        &self.template.version.name
    }

    fn phases(&self) -> PhaseSet {
        self.template.version.phases()
    }

    fn interest(&self) -> &Interest {
        &self.interest
    }

    fn policy(&self) -> &Policy {
        &self.settings.policy
    }

    fn meters(&self) -> &Arc<VersionMeters> {
        &self.template.version.meters
    }

    fn waits(&self) -> bool {
        self.template.waits
    }

    fn start(self: Arc<Self>) {
        let Some(period) = self.interest.tick else {
            return;
        };
        let ticks = self.phases().contains(Phase::Tick);
        if ticks && !self.ticks.swap(true, Ordering::Relaxed) {
            tokio::spawn(Binding::tick(Arc::downgrade(&self), period));
        }
    }

    fn call(&self, call: Call<'_>, exchange: &mut Box<Exchange>) -> Result<Action, Failure> {
        let Kept { instance, place } = self.kept(&call, exchange)?;
        let mut instance = match instance {
            Some(instance) => instance,
            None => Binding::start(self).map_err(not_started)?.0,
        };
        let answer = instance.call(call, exchange, self.settings.deadline);
        self.settle(instance, place, &call, exchange, answer)
    }

    fn call_waiting<'a>(&'a self, call: Call<'a>, exchange: &'a mut Box<Exchange>) -> Waiting<'a> {
        Box::pin(async move {
            // Owned by this future: when it is dropped in the middle of a call, so is the instance.
            let Kept { instance, place } = self.kept(&call, exchange)?;
            let mut instance = match instance {
                Some(instance) => instance,
                None => self.start_waiting().await.map_err(not_started)?.0,
            };
            let Settings { deadline, wait, .. } = self.settings;
            let answer = instance.call_waiting(call, exchange, deadline, wait).await;
            self.settle(instance, place, &call, exchange, answer)
        })
    }
}

/// The configuration was accepted before, so a refusal now is a failure of the plugin.
fn not_started(error: StartError) -> Failure {
    match error {
        StartError::Failure(failure) => failure,
        StartError::Full => full(),
        StartError::Configuration(_) => Failure {
            kind: FailureKind::Error,
            message: "a new instance refused the configuration that the first one accepted"
                .to_owned(),
        },
    }
}

fn full() -> Failure {
    Failure {
        kind: FailureKind::Error,
        message: "all plugin instances are in use; raise `instances` of `[plugins]`".to_owned(),
    }
}
