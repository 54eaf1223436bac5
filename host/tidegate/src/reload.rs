//! Reload: build everything new, then swap; on any error the old state stays and the log says why.

mod files;

pub(crate) use self::files::{secret_stamps, upstream_stamps};

use crate::acme;
use crate::app::{App, Parts};
use crate::assemble;
use crate::doubtful;
use crate::library::Candidate;
use crate::maintenance;
use crate::notify;
use crate::open_files;
use crate::upstreams;
use crate::watch::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_config::{Config, Error, Errors};
use tidegate_http::State;
use tidegate_wasm::Binding;
use tokio::runtime::Handle;
use tokio::task::JoinError;

/// Files that change are looked at again after this time, until they stay as they are: a copy in
/// progress is not a plugin yet.
const SETTLE: Duration = Duration::from_millis(30);
/// How often at most; a file that is written to for longer is tried as it is, and again when it changes.
const SETTLE_TRIES: usize = 100;

/// When a configuration that was refused is tried again for the first time; then twice as late each time.
const TRY_AGAIN: Duration = Duration::from_secs(2);
const TRY_AGAIN_MAX: Duration = Duration::from_secs(60);

/// A configuration that was not taken over.
pub(crate) struct Refused {
    error: String,
    wait: Duration,
    again: Instant,
}

impl Refused {
    fn new(error: String, wait: Duration) -> Refused {
        let wait = wait.min(TRY_AGAIN_MAX);
        Refused {
            error,
            wait,
            again: Instant::now() + wait,
        }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.again
    }
}

/// Build a state on a thread that may block: plugins are compiled.
pub(crate) async fn assemble(parts: &Arc<Parts>, config: &Arc<Config>) -> anyhow::Result<State> {
    let (parts, config, handle) = (parts.clone(), config.clone(), Handle::current());
    let built = tokio::task::spawn_blocking(move || handle.block_on(parts.assemble(&config)));
    Ok(built.await??)
}

/// Look at files on a thread that may block: a file system can take its time, and whoever waits for this has
/// signals to answer. Fails only where `look` panics.
async fn blocking<T: Send + 'static>(
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    tokio::task::spawn_blocking(look).await
}

async fn stamp(path: &Path) -> Option<Stamp> {
    let path = path.to_owned();
    blocking(move || Stamp::of(&path)).await.ok().flatten()
}

impl App {
    /// Watch the folders of the configuration and of the plugins.
    pub(crate) fn watch(&mut self, config: &Config) {
        let mut folders = BTreeSet::new();
        folders.extend(folder(&self.path));
        folders.insert(config.plugins.directory.clone());
        for name in config.plugins.named.keys() {
            folders.extend(folder(&config.plugins.settings(name).file));
        }
        folders.extend(crate::tls::folders(config));
        folders.extend(acme::folders(config));
        folders.extend(files::secrets(config).filter_map(folder));
        folders.extend(
            upstreams::files(config)
                .iter()
                .filter_map(|file| folder(file)),
        );
        folders.retain(|folder| folder.is_dir());
        self.watcher.watch(folders);
    }

    /// Reload the configuration if its file changed or `all` is asked for, and the plugins whose files
    /// changed.
    pub(crate) async fn reload(&mut self, all: bool) {
        if all || self.status.seen() != stamp(&self.path).await {
            self.reload_config().await;
        } else {
            self.reload_again().await;
        }
        self.reload_secrets().await;
        self.reload_certificates().await;
        self.reload_upstreams().await;
        self.reload_definitions().await;
        self.reload_plugins().await;
    }

    async fn reload_config(&mut self) {
        notify::reloading();
        let stamp = self.settled_stamp().await;
        self.status.saw(stamp);
        let reloaded = self.try_reload(true).await;
        self.refused = None;
        match reloaded {
            Ok(()) => self.reloaded(),
            Err(error) => {
                let error = one_line(&error);
                self.not_reloaded(&error);
                self.refused = Some(Refused::new(error, TRY_AGAIN));
            }
        }
    }

    /// Try again what was refused: what it lacked may have come, such as a file or an address. Says only what is new.
    async fn reload_again(&mut self) {
        let Some(before) = self.refused.take_if(|refused| refused.is_due()) else {
            return;
        };
        match self.try_reload(false).await {
            Ok(()) => self.reloaded(),
            Err(error) => {
                let error = one_line(&error);
                if error != before.error {
                    self.not_reloaded(&error);
                }
                self.refused = Some(Refused::new(error, before.wait * 2));
            }
        }
    }

    fn reloaded(&self) {
        self.status.count_reload("ok");
        tracing::info!(file = %self.path.display(), "reloaded");
        notify::ready(notify::SERVING);
    }

    fn not_reloaded(&self, error: &str) {
        self.status.count_reload("failed");
        tracing::error!(
            error,
            "reload failed, the old state stays; it is tried again, at least every minute"
        );
        notify::ready("serving as before: the last reload failed, the log says why");
    }

    /// `commands` of secrets are run again, too.
    async fn try_reload(&mut self, commands: bool) -> anyhow::Result<()> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let environment: Vec<_> = environment.collect();
        let path = self.path.clone();
        let config = blocking(move || Config::load(&path, environment)).await??;
        let config = Arc::new(config);
        let upstream_files = upstream_stamps(&config).await;
        let secret_files = secret_stamps(&config).await;
        self.parts.grants.read_secrets_again(commands).await;
        let mut state = assemble(&self.parts, &config).await?;
        let secret_changes = self.parts.grants.secret_changes();
        let definitions = acme::definitions(&config).await;
        let certificates = acme::prepare(&self.parts, &config).await?;
        let bound = self.listeners.bind(&config)?;
        state.sockets = bound.sockets(&state.listeners);
        state.sockets.keep_closed(&self.state.load().sockets);
        // From here on nothing fails.
        self.warn_of_fixed(&config);
        warn_of_doubtful(&config, &self.parts, &state);
        self.parts.start(&state);
        self.parts.acme.commit(certificates);
        self.definitions = definitions;
        self.upstream_files = upstream_files;
        self.secret_files = secret_files;
        self.secret_changes = secret_changes;
        self.parts.library.reconsider();
        let state = Arc::new(state);
        let before = self.state.swap(state.clone());
        maintenance::tell(Some(&before), &state);
        self.listeners.commit(&self.server, &config, bound);
        self.watch(&config);
        let (parts, named) = (self.parts.clone(), crate::tls::authorities(&config));
        self.status.set_config(config);
        // Nobody waits for what is forgotten.
        tokio::task::spawn_blocking(move || parts.tls.certificates.keep_authorities(&named));
        Ok(())
    }

    /// Take over the plugins whose files changed.
    async fn reload_plugins(&mut self) {
        let config = self.status.config();
        if self.plugin_stamps(&config).await.is_empty() && !self.stale {
            return;
        }
        self.settle(&config).await;
        let (parts, of) = (self.parts.clone(), config.clone());
        let handle = Handle::current();
        let swapped = tokio::task::spawn_blocking(move || handle.block_on(swap(&parts, &of))).await;
        let Ok(bindings) = swapped else {
            tracing::error!("a plugin could not be looked at");
            return;
        };
        if bindings.is_empty() && !self.stale {
            return;
        }
        // The bindings are held until the state has them, so that none is made twice.
        self.rebuild(&config).await;
    }

    /// Build the state anew with what changed beside the configuration.
    async fn rebuild(&mut self, config: &Arc<Config>) {
        match assemble(&self.parts, config).await {
            Ok(mut state) => {
                state.sockets = self.state.load().sockets.renewed(&state.listeners);
                self.parts.start(&state);
                self.state.store(Arc::new(state));
                self.stale = false;
            }
            Err(error) => {
                let error = one_line(&error);
                tracing::error!(error, "cannot take over what changed, trying again");
                self.stale = true;
            }
        }
    }

    async fn settle(&self, config: &Arc<Config>) {
        let mut before = self.plugin_stamps(config).await;
        for _ in 0..SETTLE_TRIES {
            tokio::time::sleep(SETTLE).await;
            let now = self.plugin_stamps(config).await;
            // A copy over an old file begins by emptying it.
            let empty = now.values().flatten().any(Stamp::is_empty);
            if now == before && !empty {
                return;
            }
            before = now;
        }
    }

    /// The plugin files that are other than when they were last looked at.
    async fn plugin_stamps(&self, config: &Arc<Config>) -> BTreeMap<String, Option<Stamp>> {
        let (parts, config) = (self.parts.clone(), config.clone());
        let stamps = blocking(move || parts.library.stamps(&config)).await;
        stamps.unwrap_or_default()
    }

    async fn settled_stamp(&self) -> Option<Stamp> {
        let mut before = stamp(&self.path).await;
        for _ in 0..SETTLE_TRIES {
            tokio::time::sleep(SETTLE).await;
            let now = stamp(&self.path).await;
            // An editor that renames leaves a moment without a file.
            if now == before && now.is_some() {
                return now;
            }
            before = now;
        }
        before
    }

    /// Say which changes wait for a restart.
    fn warn_of_fixed(&self, new: &Config) {
        let old = self.status.config();
        let fixed = [
            ("[server] threads", old.server.threads != new.server.threads),
            ("[log]", old.log != new.log),
            ("[admin]", old.admin != new.admin),
            (
                "[plugins] instances, limiter_keys and cache",
                old.plugins.instances != new.plugins.instances
                    || old.plugins.limiter_keys != new.plugins.limiter_keys
                    || old.plugins.cache != new.plugins.cache,
            ),
        ];
        for (what, _) in fixed.into_iter().filter(|(_, changed)| *changed) {
            tracing::warn!("{what}: changed in the file, but takes effect at the next start only");
        }
    }
}

/// Load what changed, let every route that uses it accept or refuse it. Returns the bindings of those
/// that became live.
async fn swap(parts: &Parts, config: &Config) -> Vec<Arc<Binding>> {
    let mut live = Vec::new();
    for candidate in parts.library.candidates(config) {
        match bindings(parts, config, &candidate).await {
            Ok(bindings) => {
                live.extend(bindings);
                parts.library.accept(candidate);
            }
            Err(problem) => parts.library.refuse(candidate, problem),
        }
    }
    live
}

async fn bindings(
    parts: &Parts,
    config: &Config,
    candidate: &Candidate,
) -> Result<Vec<Arc<Binding>>, String> {
    let mut bindings = Vec::new();
    let Some(version) = candidate.loaded.as_ref().map_err(String::clone)? else {
        return Ok(bindings);
    };
    let prepared = parts.grants.prepare(config).await;
    let prepared = prepared.map_err(|errors| places(&errors))?;
    for used in assemble::uses(config, &candidate.name) {
        let bound = assemble::bind(config, used, version, parts, &prepared).await;
        bindings.push(bound.map_err(first_of)?);
    }
    Ok(bindings)
}

/// Problems that have a place in the file, on one line.
fn first_of(errors: Vec<Error>) -> String {
    match Errors::check(errors) {
        Ok(()) => "it was refused".to_owned(),
        Err(errors) => places(&errors),
    }
}

fn one_line(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Errors>() {
        Some(errors) => places(errors),
        None => format!("{error:#}"),
    }
}

fn places(errors: &Errors) -> String {
    errors.iter().map(place).collect::<Vec<_>>().join("; ")
}

/// One mistake in one line.
fn place(error: &Error) -> String {
    let place = match error.line {
        0 => String::new(),
        line => format!("{}:{line}:{}: ", error.file, error.column),
    };
    let help = error.help.iter().map(|help| format!(" ({help})"));
    format!("{place}{}{}", error.message, help.collect::<String>())
}

/// Say what works and is probably not meant.
pub(crate) fn warn_of_doubtful(config: &Config, parts: &Parts, state: &State) {
    open_files::warn_if_few(config);
    for warning in doubtful::warnings(config, parts, state) {
        tracing::warn!("{}", place(&warning));
    }
}

fn folder(file: &Path) -> Option<std::path::PathBuf> {
    let folder = std::path::absolute(file).ok()?;
    folder.parent().map(Path::to_owned)
}
