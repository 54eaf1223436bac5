//! A version of a plugin with one configuration: what a chain calls.

use crate::host::Host;
use crate::instance::{Instance, StartError};
use crate::namespace::Namespace;
use crate::pool::{Pool, Pools};
use crate::version::PluginVersion;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_chain::{
    Action, Exchange, Failure, FailureKind, Interest, Phase, PhaseSet, Plugin, Policy,
    VersionMeters, Waiting,
};

/// What a plugin may use, and what happens when it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The time of one call.
    pub deadline: Duration,
    /// Bytes of memory of one instance.
    pub memory: usize,
    /// What happens on a failure.
    pub policy: Policy,
}

/// A configured plugin.
pub struct Binding {
    version: Arc<PluginVersion>,
    config: Arc<str>,
    settings: Settings,
    namespace: Arc<Namespace>,
    interest: Interest,
    pool: Arc<Pool>,
    pools: Arc<Pools>,
    start: Instant,
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
        namespace: Arc<Namespace>,
        (pools, threads): (&Arc<Pools>, usize),
        start: Instant,
    ) -> Result<Binding, BindError> {
        // Calls that wait overlap on one thread; those that do not, do not.
        let depth = if version.waits { 32 } else { 2 };
        let mut binding = Binding {
            version,
            config,
            settings,
            namespace,
            interest: Interest::default(),
            pool: pools.pool(threads, depth),
            pools: pools.clone(),
            start,
        };
        let (instance, interest) = if binding.version.waits {
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
        &self.version
    }

    /// Whether it is this version with this configuration and these settings.
    pub(crate) fn is(&self, version: &PluginVersion, config: &str, settings: &Settings) -> bool {
        self.version.digest == version.digest
            && self.version.name == version.name
            && *self.config == *config
            && self.settings == *settings
    }

    /// A new instance; where as many live as may, idle ones of others make room.
    fn start(&self) -> Result<(Box<Instance>, Interest), StartError> {
        let start = || Instance::start(&self.version, self.host(), &self.config);
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
        let start = || Instance::start_waiting(&self.version, self.host(), &self.config);
        let started = match start().await {
            Err(StartError::Full) => {
                self.pools.evict();
                start().await
            }
            other => other,
        };
        started.map(|(instance, interest)| (Box::new(instance), interest))
    }

    fn host(&self) -> Host {
        Host::new(
            self.namespace.clone(),
            self.version.version.clone(),
            self.settings.memory,
            self.start,
            self.version.waits,
        )
    }

    /// Keep an instance that answered; an instance that failed is dropped with its store.
    fn settle(&self, instance: Box<Instance>, answer: &Result<Action, Failure>) {
        let whole = match answer {
            Ok(_) => true,
            // It answered, and said so: nothing is broken.
            Err(failure) => failure.kind == FailureKind::Error,
        };
        if whole && instance.is_fit() {
            self.pool.put(instance);
        }
    }
}

impl Plugin for Binding {
    fn name(&self) -> &Arc<str> {
        &self.version.name
    }

    fn phases(&self) -> PhaseSet {
        self.version.phases()
    }

    fn interest(&self) -> &Interest {
        &self.interest
    }

    fn policy(&self) -> &Policy {
        &self.settings.policy
    }

    fn meters(&self) -> &Arc<VersionMeters> {
        &self.version.meters
    }

    fn waits(&self) -> bool {
        self.version.waits
    }

    fn call(&self, phase: Phase, exchange: &mut Box<Exchange>) -> Result<Action, Failure> {
        let mut instance = match self.pool.take() {
            Some(instance) => instance,
            None => self.start().map_err(not_started)?.0,
        };
        let answer = instance.call(phase, exchange, self.settings.deadline);
        self.settle(instance, &answer);
        answer
    }

    fn call_waiting<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>) -> Waiting<'a> {
        Box::pin(async move {
            // Owned by this future: when it is dropped in the middle of a call, so is the instance.
            let mut instance = match self.pool.take() {
                Some(instance) => instance,
                None => self.start_waiting().await.map_err(not_started)?.0,
            };
            let deadline = self.settings.deadline;
            let answer = instance.call_waiting(phase, exchange, deadline).await;
            self.settle(instance, &answer);
            answer
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
