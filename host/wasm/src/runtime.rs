//! The runtime: made once, shared by all.

use crate::binding::{BindError, Binding, Settings, Shared};
use crate::cache::{Cache, CacheError, deserialize};
use crate::compiler::Compiler;
use crate::engine::TickingEngine;
use crate::host::Linkers;
use crate::namespace::Namespace;
use crate::pool::Pools;
use crate::version::{self, LoadError, PluginVersion};
use prometheus::Registry;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;
use tidegate_chain::Meters;
use wasmtime::component::Component;

/// Bytes of a component that takes seconds to compile.
const LARGE: usize = 1 << 20;

/// How the runtime is made.
#[derive(Debug)]
pub struct Options {
    /// Live instances of all plugins together.
    pub instances: u32,
    /// Worker threads, each with idle instances of its own.
    pub threads: usize,
    /// Limiter keys of one plugin.
    pub limiter_keys: usize,
    /// Where compiled code is kept, if anywhere.
    pub cache: Option<PathBuf>,
    /// How components are compiled.
    pub compiler: Compiler,
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine could not be made, for example for want of address space.
    #[error(
        "cannot start the WebAssembly engine for {instances} instances: {reason} (fewer `instances` in `[plugins]` need less address space)"
    )]
    Engine {
        /// What was asked for.
        instances: u32,
        /// What the engine said.
        reason: String,
    },
    /// The metrics are there already.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// Everything that plugins share.
pub struct Runtime {
    engine: TickingEngine,
    linkers: Linkers,
    cache: Option<Cache>,
    options: Options,
    meters: Arc<Meters>,
    registry: Registry,
    namespaces: Mutex<HashMap<Arc<str>, Arc<Namespace>>>,
    bindings: Mutex<Vec<Weak<Binding>>>,
    pools: Arc<Pools>,
    start: Instant,
}

impl Runtime {
    /// Make the engine and start its ticker.
    ///
    /// A cache that cannot be used is not an error: it is returned beside the runtime, for the log.
    ///
    /// # Errors
    /// The engine cannot be made, or `registry` has the plugins' metrics already.
    pub fn new(
        options: Options,
        registry: &Registry,
    ) -> Result<(Arc<Runtime>, Option<CacheError>), RuntimeError> {
        let failed = |error: wasmtime::Error| RuntimeError::Engine {
            instances: options.instances,
            reason: format!("{error:#}"),
        };
        let engine = TickingEngine::new(&options).map_err(failed)?;
        let linkers = Linkers::new(&engine.engine);
        let (cache, problem) = match options.cache.as_deref().map(Cache::open).transpose() {
            Ok(cache) => (cache, None),
            Err(problem) => (None, Some(problem)),
        };
        let instances = options.instances;
        let runtime = Runtime {
            engine,
            linkers,
            cache,
            options,
            meters: Meters::register(registry)?,
            registry: registry.clone(),
            namespaces: Mutex::default(),
            bindings: Mutex::default(),
            pools: Arc::new(Pools::new(instances)),
            start: Instant::now(),
        };
        Ok((Arc::new(runtime), problem))
    }

    /// Compile a component, or take its compiled form from the cache, and check it. Takes tens of
    /// milliseconds: not for a worker thread.
    ///
    /// # Errors
    /// The bytes are not a plugin that this host can run, or not the pinned one.
    pub fn load(
        &self,
        name: &Arc<str>,
        bytes: &[u8],
        pin: Option<&str>,
    ) -> Result<Arc<PluginVersion>, LoadError> {
        version::check_header(bytes)?;
        let digest = version::digest(bytes);
        if let Some(pinned) = pin.filter(|pin| !pin.eq_ignore_ascii_case(&digest)) {
            return Err(LoadError::Pin {
                found: digest,
                pinned: pinned.to_owned(),
            });
        }
        let component = self.compile(&digest, bytes)?;
        let version = PluginVersion::check(
            name,
            digest,
            &component,
            &self.linkers,
            |name, version, phases| self.meters.version(name, version, phases),
        )?;
        Ok(Arc::new(version))
    }

    fn compile(&self, digest: &str, bytes: &[u8]) -> Result<Component, LoadError> {
        let engine = &self.engine.engine;
        let cached = self.cache.as_ref().and_then(|c| c.get(engine, digest));
        if let Some(component) = cached {
            return Ok(component);
        }
        if bytes.len() > LARGE {
            tracing::info!(digest, bytes = bytes.len(), "compiling a large plugin");
        }
        let mut code = self.options.compiler.compile(engine, bytes)?;
        let mut component = deserialize(engine, &code);
        if let Err(error) = &component {
            // The other process saw another processor than this one, as under an emulator.
            tracing::warn!(
                "what the process that compiles gave cannot run here; compiling in this one: {error:#}"
            );
            code = Compiler::here().compile(engine, bytes)?;
            component = deserialize(engine, &code);
        }
        let component = component.map_err(|error| LoadError::Compiler(format!("{error:#}")))?;
        if let Some(cache) = &self.cache {
            cache.put(engine, digest, &code);
        }
        Ok(component)
    }

    /// Give a version a configuration (JSON). The same version with the same configuration and
    /// settings gives the same binding while somebody holds it, so a reload keeps warm instances.
    ///
    /// # Errors
    /// The plugin refuses the configuration, or fails.
    pub async fn bind(
        &self,
        version: &Arc<PluginVersion>,
        config: &str,
        settings: &Settings,
    ) -> Result<Arc<Binding>, BindError> {
        if let Some(binding) = self.bound(version, config, settings) {
            return Ok(binding);
        }
        let binding = Binding::new(
            version.clone(),
            config.into(),
            settings.clone(),
            Shared {
                linkers: &self.linkers,
                pools: &self.pools,
                namespace: self.namespace(&version.name),
                threads: self.options.threads,
                start: self.start,
                ticker: &self.engine.ticker,
            },
        )
        .await?;
        let binding = Arc::new(binding);
        let mut bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        bindings.push(Arc::downgrade(&binding));
        Ok(binding)
    }

    fn bound(
        &self,
        version: &PluginVersion,
        config: &str,
        settings: &Settings,
    ) -> Option<Arc<Binding>> {
        let mut bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        bindings.retain(|binding| binding.strong_count() > 0);
        let mut live = bindings.iter().filter_map(Weak::upgrade);
        live.find(|binding| binding.is(version, config, settings))
    }

    fn namespace(&self, name: &Arc<str>) -> Arc<Namespace> {
        let mut namespaces = self
            .namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let keys = self.options.limiter_keys;
            Arc::new(Namespace::new(name.clone(), keys, self.registry.clone()))
        };
        namespaces.entry(name.clone()).or_insert_with(make).clone()
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
