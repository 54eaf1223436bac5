//! The connections of the process, shared by all plugins.

use super::call::RequestBody;
use super::client::Client;
use super::connect::Connector;
use super::grant::{Grant, Trust};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Fields of a response.
const FIELDS_MAX: usize = 100;
/// Bytes of a response's head, and of what is read ahead of its body.
pub(super) const HEAD_BYTES_MAX: u32 = 64 << 10;
/// HTTP/2 windows: what a server may send before the plugin reads.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// When an HTTP/2 connection is asked whether it still lives, and how long it has to answer.
const PING_AFTER: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds of what all plugins do together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections that are open at one time, idle ones included.
    pub connections: usize,
    /// Idle connections that are kept for an origin.
    pub idle_per_origin: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// The most time from the look-up of a name to the end of the TLS handshake.
    pub connect_timeout: Duration,
    /// Names that are looked up at one time. Each look-up holds a thread.
    pub lookups: usize,
}

/// The connections of the process. Cheap to clone.
#[derive(Clone)]
pub struct Transport(Arc<Inner>);

struct Inner {
    settings: Settings,
    platform_roots: Arc<RootCertStore>,
    connections: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
    /// Held by the clients only: when the last grant of a trust is gone, so are its connections.
    pools: Mutex<HashMap<Trust, Weak<Pool>>>,
}

/// The connections of one trust, by origin.
pub(super) type Pool = legacy::Client<Connector, RequestBody>;

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            connections: 1024,
            idle_per_origin: 32,
            idle_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            lookups: 32,
        }
    }
}

impl Transport {
    /// Read the platform's certificates; that blocks for a moment. Nothing is connected yet.
    pub fn new(settings: Settings) -> Transport {
        Transport(Arc::new(Inner {
            platform_roots: Arc::new(platform_roots()),
            connections: places(settings.connections),
            lookups: places(settings.lookups),
            settings,
            pools: Mutex::default(),
        }))
    }

    /// What a plugin with these grants may do, with at most so many calls at one time.
    pub fn client(&self, grants: Vec<Grant>, calls: usize) -> Client {
        let granted = grants.into_iter().map(|grant| {
            let pool = self.pool(&grant);
            (grant, pool)
        });
        Client::new(granted.collect(), calls)
    }

    fn pool(&self, grant: &Grant) -> Arc<Pool> {
        let trust = grant.trust();
        let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|_, pool| pool.strong_count() > 0);
        if let Some(pool) = pools.get(&trust).and_then(Weak::upgrade) {
            return pool;
        }
        let pool = Arc::new(self.connect(grant));
        pools.insert(trust, Arc::downgrade(&pool));
        pool
    }

    fn connect(&self, grant: &Grant) -> Pool {
        let Inner {
            settings,
            platform_roots,
            connections,
            lookups,
            ..
        } = &*self.0;
        let roots = grant.roots().unwrap_or_else(|| platform_roots.clone());
        let connector = Connector::new(
            grant.trust().private,
            Arc::new(tls(roots)),
            settings.connect_timeout,
            connections.clone(),
            lookups.clone(),
        );
        legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_max_idle_per_host(settings.idle_per_origin)
            .pool_idle_timeout(settings.idle_timeout)
            .http1_max_headers(FIELDS_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX as usize)
            .http2_max_header_list_size(HEAD_BYTES_MAX)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(connector)
    }
}

fn places(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))
}

fn platform_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "some of the platform's certificates cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

fn tls(roots: Arc<RootCertStore>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}
