//! The proxy, put together. Read this first: [`Phases`] is the life of a request, one line per phase,
//! and [`App::start`] is how everything is made, in order.

use crate::acme::{self, Definitions};
use crate::admin::{self, Status};
use crate::admissions::Admissions;
use crate::assemble;
use crate::certificates::Store;
use crate::grants::Grants;
use crate::library::Library;
use crate::listeners::Listeners;
use crate::maintenance;
use crate::notify;
use crate::shutdown::{Request, Signals};
use crate::tls::Tls;
use crate::trace::Logs;
use crate::watch::{Stamp, Watcher};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::prelude::HttpPeer;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::{Error, Result};
use prometheus::Registry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tidegate_acme::Acme;
use tidegate_chain::Budget;
use tidegate_config::{Cache, Config, Errors};
use tidegate_http::{AttributeMetrics, Context, Journal, Metrics, Pools, Server, State, phase};
use tidegate_listen::Inherited;
use tidegate_wasm::{Compiler, Options, Runtime};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// The phases of a request, as Pingora calls them. Each is a file in `host/http/src/phase/`.
pub struct Phases {
    state: Arc<ArcSwap<State>>,
    journal: Arc<Journal>,
}

#[async_trait]
impl ProxyHttp for Phases {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::begin(&self.state)
    }

    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, s: &mut Session, c: &mut Context) -> Result<()> {
        phase::accept::run(s, c)
    }

    async fn request_filter(&self, s: &mut Session, c: &mut Context) -> Result<bool> {
        phase::request::run(s, c).await
    }

    async fn proxy_upstream_filter(&self, s: &mut Session, c: &mut Context) -> Result<bool> {
        phase::upstream_peer::admit(s, c).await.map(|()| true)
    }

    async fn upstream_peer(&self, s: &mut Session, c: &mut Context) -> Result<Box<HttpPeer>> {
        phase::upstream_peer::run(s, c).await
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        c: &mut Context,
        e: Box<Error>,
    ) -> Box<Error> {
        phase::upstream_peer::failed_to_connect(c, e)
    }

    async fn upstream_request_filter(
        &self,
        s: &mut Session,
        head: &mut RequestHeader,
        c: &mut Context,
    ) -> Result<()> {
        phase::upstream_request::run(s, head, c).await
    }

    async fn request_body_filter(
        &self,
        s: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        c: &mut Context,
    ) -> Result<()> {
        phase::request_body::run(s, body, end, c).await
    }

    async fn response_filter(
        &self,
        s: &mut Session,
        head: &mut ResponseHeader,
        c: &mut Context,
    ) -> Result<()> {
        phase::response::run(s, head, c).await
    }

    async fn response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut HeaderMap,
        c: &mut Context,
    ) -> Result<Option<Bytes>> {
        Ok(phase::response::trailers(trailers, c))
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        s: &mut Session,
        e: Box<Error>,
        c: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        phase::upstream_peer::failed(s, c, e, reused)
    }

    async fn fail_to_proxy(&self, s: &mut Session, e: &Error, c: &mut Context) -> FailToProxy {
        phase::failure::run(s, e, c).await
    }

    async fn logging(&self, s: &mut Session, e: Option<&Error>, c: &mut Context) {
        phase::log::run(s, e, c, &self.journal).await;
    }

    // The access log says what failed; Pingora's own lines hold the query, which can hold secrets.
    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        true
    }

    fn request_summary(&self, _: &Session, c: &Context) -> String {
        format!("request {}", c.request_id())
    }
}

/// What lives as long as the process, whatever is reloaded.
pub struct Parts {
    pub registry: Registry,
    pub metrics: Metrics,
    pub runtime: Arc<Runtime>,
    pub library: Library,
    pub grants: Grants,
    pub tls: Arc<Tls>,
    pub acme: Acme,
    held: Mutex<Option<(usize, Arc<Budget>)>>,
    pub(crate) admissions: Admissions,
    pub(crate) pools: Pools,
}

/// The proxy while it runs.
pub struct App {
    pub(crate) path: PathBuf,
    pub(crate) parts: Arc<Parts>,
    pub(crate) state: Arc<ArcSwap<State>>,
    pub(crate) status: Arc<Status>,
    pub(crate) listeners: Listeners,
    pub(crate) watcher: Watcher,
    /// The configuration in the file, where that is not the one that runs.
    pub(crate) refused: Option<crate::reload::Refused>,
    /// The last swap of plugins did not become the state; it is to be tried again.
    pub(crate) stale: bool,
    /// What the files of certificate definitions looked like when they were last read.
    pub(crate) definitions: Definitions,
    /// What the files of TLS to upstreams looked like before they were last read.
    pub(crate) upstream_files: Vec<Option<Stamp>>,
    /// What the files of secrets looked like before they were last read.
    pub(crate) secret_files: Vec<Option<Stamp>>,
    /// How often secrets had changed when authorities were last made with them.
    pub(crate) secret_changes: u64,
    pub(crate) server: Arc<Server<Phases>>,
    stop: watch::Sender<bool>,
    admin_stop: watch::Sender<bool>,
    admin: Option<JoinHandle<()>>,
    connections: TaskTracker,
}

impl Parts {
    /// Make what a configuration needs before any of its plugins is loaded.
    pub fn new(config: &Config) -> anyhow::Result<Parts> {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry)?;
        let options = Options {
            instances: config.plugins.instances,
            threads: threads(config),
            limiter_keys: usize::try_from(config.plugins.limiter_keys)?,
            cache: cache(&config.plugins.cache),
            compiler: Compiler::process(this_program(), &["compile"]),
        };
        let (runtime, cache_problem) = Runtime::new(options, &registry)?;
        if let Some(problem) = cache_problem {
            tracing::warn!("{problem}; plugins are compiled at every start");
        }
        let tls = Arc::new(Tls::new(Store::new(&registry)?));
        Ok(Parts {
            library: Library::new(runtime.clone(), &registry)?,
            acme: acme::start(&tls, &registry)?,
            tls,
            registry,
            metrics,
            runtime,
            grants: Grants::new(),
            held: Mutex::default(),
            admissions: Admissions::default(),
            pools: Pools::default(),
        })
    }

    /// What bodies may hold back together: one budget for all states with the same bound.
    pub(crate) fn held(&self, bytes: usize) -> Arc<Budget> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some((of, budget)) if *of == bytes => budget.clone(),
            _ => {
                let budget = Budget::new(bytes);
                *held = Some((bytes, budget.clone()));
                budget
            }
        }
    }

    /// A state is the running one from now on.
    pub(crate) fn start(&self, state: &State) {
        self.grants.refresh();
        self.tls.start(state);
        for plugin in state.plugins() {
            plugin.clone().start();
        }
    }

    /// Build the whole state that a configuration describes.
    ///
    /// # Errors
    /// With positions in the file.
    pub async fn assemble(&self, config: &Config) -> std::result::Result<State, Errors> {
        assemble::state(config, self).await
    }
}

impl App {
    /// Make everything; nothing accepts a connection before all of it is right.
    pub async fn start(
        path: &Path,
        config: Config,
        logs: &Logs,
        inherited: Vec<Inherited>,
    ) -> anyhow::Result<App> {
        let parts = Arc::new(Parts::new(&config)?);
        logs.register(&parts.registry)?;
        let config = Arc::new(config);
        let upstream_files = crate::reload::upstream_stamps(&config).await;
        let secret_files = crate::reload::secret_stamps(&config).await;
        let mut state = crate::reload::assemble(&parts, &config).await?;
        let certificates = acme::prepare(&parts, &config).await?;
        let connections = TaskTracker::new();
        let mut listeners = Listeners::new(connections.clone(), inherited)?;
        let bound = listeners.bind(&config)?;
        state.sockets = bound.sockets(&state.listeners);
        crate::reload::warn_of_doubtful(&config, &parts, &state);
        let state = Arc::new(ArcSwap::from_pointee(state));

        let (stop, stopped) = watch::channel(false);
        let attributes = &config.admin.metrics_attributes;
        let journal = Arc::new(Journal {
            metrics: parts.metrics.clone(),
            attributes: AttributeMetrics::register(attributes, &parts.registry)?,
            access: logs.access(),
        });
        let phases = Phases {
            state: state.clone(),
            journal: journal.clone(),
        };
        let server = Arc::new(Server::new(
            phases,
            state.clone(),
            journal,
            threads(&config),
            pooled(&config),
            stopped,
        ));

        let status = Arc::new(Status::new(parts.clone(), config.clone()));
        let (admin_stop, admin_stopped) = watch::channel(false);
        let admin = admin::start(&status, admin_stopped)
            .await
            .context("the admin address")?;
        parts.acme.commit(certificates);
        listeners.commit(&server, &config, bound);

        let mut app = App {
            path: path.to_owned(),
            watcher: Watcher::new(),
            parts,
            state,
            status,
            listeners,
            refused: None,
            stale: false,
            definitions: acme::definitions(&config).await,
            upstream_files,
            secret_files,
            // Nobody keeps them fresh yet.
            secret_changes: 0,
            server,
            stop,
            admin_stop,
            admin,
            connections,
        };
        app.parts.start(&app.state.load());
        maintenance::tell(None, &app.state.load());
        app.watch(&config);
        app.status.ready(true);
        tracing::info!("ready");
        notify::keep_alive();
        notify::ready(notify::SERVING);
        Ok(app)
    }

    /// Serve, reload, and stop when asked to.
    pub async fn run_until_stopped(mut self, mut signals: Signals) -> anyhow::Result<()> {
        let mut reload = false;
        loop {
            if !reload {
                tokio::select! {
                    request = signals.next() => match request {
                        Request::Stop => return self.drain(signals).await,
                        Request::Reload => reload = true,
                    },
                    () = self.watcher.changed() => {}
                }
            }
            // A reload takes as long as its plugins take to compile; it is not waited for to stop.
            let all = std::mem::take(&mut reload);
            let stopped = {
                let work = self.reload(all);
                tokio::pin!(work);
                loop {
                    tokio::select! {
                        () = &mut work => break false,
                        request = signals.next() => match request {
                            Request::Stop => break true,
                            Request::Reload => reload = true,
                        },
                    }
                }
            };
            if stopped {
                return self.drain(signals).await;
            }
        }
    }

    /// Stop accepting, finish what is in flight, within the configured time.
    async fn drain(mut self, mut signals: Signals) -> anyhow::Result<()> {
        let limit = self.status.config().server.drain_timeout;
        tracing::info!(connections = self.connections.len(), ?limit, "draining");
        self.status.ready(false);
        notify::stopping();
        self.listeners.stop();
        self.stop.send_replace(true);
        self.server.close_idle().await;
        self.connections.close();
        let drained = tokio::select! {
            drained = tokio::time::timeout(limit, self.connections.wait()) => drained.is_ok(),
            () = signals.stopped_again() => false,
        };
        if drained {
            tracing::info!("drained");
        } else {
            let cut = self.connections.len();
            tracing::warn!(
                connections = cut,
                "not drained in time, closing connections"
            );
        }
        self.admin_stop.send_replace(true);
        if let Some(admin) = self.admin {
            // Ends at once; a Unix socket is removed before we are gone.
            let _ = admin.join();
        }
        Ok(())
    }
}

/// This very program, also when an upgrade has put another into its place on disk: its path does not lead to a file
/// then.
fn this_program() -> PathBuf {
    let path = std::env::current_exe().ok().filter(|path| path.is_file());
    path.unwrap_or_else(|| "/proc/self/exe".into())
}

/// Worker threads.
pub fn threads(config: &Config) -> usize {
    match usize::try_from(config.server.threads) {
        Ok(0) | Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
        Ok(threads) => threads,
    }
}

/// Connections to upstreams that are kept, all together: Pingora has one pool.
fn pooled(config: &Config) -> usize {
    let keepalive = config.upstreams.values().map(|u| u.keepalive as usize);
    keepalive.sum::<usize>().max(128)
}

/// Where compiled code is kept when nobody says.
fn cache(cache: &Cache) -> Option<PathBuf> {
    let under = |variable: &str, rest: &str| {
        let base = std::env::var_os(variable).map(PathBuf::from);
        base.filter(|base| base.is_absolute())
            .map(|base| base.join(rest))
    };
    match cache {
        Cache::Off => None,
        Cache::Folder(folder) => Some(folder.clone()),
        // CACHE_DIRECTORY is what systemd sets (systemd.exec(5)).
        Cache::Automatic => under("CACHE_DIRECTORY", "compiled")
            .or_else(|| under("XDG_CACHE_HOME", "tidegate"))
            .or_else(|| under("HOME", ".cache/tidegate")),
    }
}
