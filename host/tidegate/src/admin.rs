//! The admin address: health, metrics and the list of plugins, for operators and their tools.

use crate::app::Parts;
use crate::watch::Stamp;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{IntCounterVec, Opts, TextEncoder};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tidegate_config::Config;
use tidegate_listen::{
    Address, Caps, ConnectionHandler, Listener, Refused, Slot, SocketOptions, accept, bind,
};
use tokio::sync::{oneshot, watch};

/// The admin socket's mode: its owner alone.
const MODE: u32 = 0o600;

/// What the admin address shows.
pub struct Status {
    parts: Arc<Parts>,
    config: ArcSwap<Config>,
    ready: AtomicBool,
    seen: Mutex<Option<Stamp>>,
    reloads: Option<IntCounterVec>,
    refused: Option<IntCounterVec>,
}

impl Status {
    /// Of a proxy that is being started.
    pub fn new(parts: Arc<Parts>, config: Arc<Config>) -> Status {
        let counter = |name, help, label| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label]);
            // Fails only if it were registered twice.
            counter.ok().inspect(|counter| {
                let _ = parts.registry.register(Box::new(counter.clone()));
            })
        };
        let reloads = counter(
            "tidegate_reloads_total",
            "Reloads of the configuration, by result: `ok`, or `failed` where the old state stays.",
            "result",
        );
        let refused = counter(
            "tidegate_admin_connections_refused_total",
            "Connections to the admin address that were closed, by reason: the limit of `[admin]` of this name.",
            "reason",
        );
        Status {
            seen: Mutex::new(Stamp::of(config.source.path())),
            parts,
            config: ArcSwap::new(config),
            ready: AtomicBool::new(false),
            reloads,
            refused,
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Another one is in force.
    pub fn set_config(&self, config: Arc<Config>) {
        self.config.store(config);
    }

    /// Whether new requests are welcome.
    pub fn ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// The configuration file as it was when it was last read.
    pub fn seen(&self) -> Option<Stamp> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    /// It was read.
    pub fn saw(&self, stamp: Option<Stamp>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
    }

    /// A reload ended.
    pub fn count_reload(&self, result: &str) {
        if let Some(reloads) = &self.reloads {
            reloads.with_label_values(&[result]).inc();
        }
    }

    fn refused(&self, reason: &str) {
        if let Some(refused) = &self.refused {
            refused.with_label_values(&[reason]).inc();
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            let allow = http::HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(ALLOW, allow);
            return answer;
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if self.ready.load(Ordering::Relaxed) => text(StatusCode::OK, "ready\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/metrics" => self.metrics(),
            "/plugins" => {
                let list = self.parts.library.list(&self.config.load());
                body(StatusCode::OK, "application/json", format!("{list:#}\n"))
            }
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /healthz, /readyz, /metrics and /plugins\n",
            ),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut out = String::new();
        match TextEncoder::new().encode_utf8(&self.parts.registry.gather(), &mut out) {
            Ok(()) => body(StatusCode::OK, prometheus::TEXT_FORMAT, out),
            Err(error) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("cannot write the metrics: {error}\n"),
            ),
        }
    }
}

/// Serve the admin address until told to stop, on a thread of its own: it answers also when every
/// worker is busy with a plugin that computes. Gives the thread, where there is an admin address.
///
/// # Errors
/// It cannot be bound.
pub async fn start(
    status: &Arc<Status>,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    let address = match &status.config().admin.address {
        None => return Ok(None),
        Some(tidegate_config::Address::Socket(socket)) => Address::Tcp(*socket),
        Some(tidegate_config::Address::Unix(path)) => Address::Unix(path.clone()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (bound, is_bound) = oneshot::channel();
    let status = status.clone();
    let thread = std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let options = SocketOptions {
                    mode: MODE,
                    ..SocketOptions::default()
                };
                let listener = bind(&address, &options);
                // Nobody waits for the answer when the start was given up.
                let _ = match listener {
                    Ok(listener) => {
                        tracing::info!(address = %listener.address, "admin listening");
                        let told = bound.send(Ok(()));
                        serve(status, listener, stop).await;
                        told
                    }
                    Err(error) => bound.send(Err(error)),
                };
            });
        })?;
    is_bound.await??;
    Ok(Some(thread))
}

async fn serve(status: Arc<Status>, listener: Listener, stop: watch::Receiver<bool>) {
    let admin = &status.config().admin;
    let connections = usize::try_from(admin.connections).unwrap_or(usize::MAX);
    let handler = Handler {
        caps: Caps::new(connections, connections),
        header_timeout: admin.header_timeout,
        status,
    };
    accept(Arc::new(listener), stop, handler).await;
}

/// Answers the connections of the admin address.
struct Handler {
    status: Arc<Status>,
    caps: Caps,
    header_timeout: Duration,
}

impl ConnectionHandler for Handler {
    fn admit(&self) -> Result<Slot, Refused> {
        self.caps.take()
    }

    fn serve(&self, connection: tidegate_listen::Connection) {
        let status = self.status.clone();
        let header_timeout = self.header_timeout;
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let answer = status.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(header_timeout)
                .serve_connection(TokioIo::new(connection.stream), answer)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "admin connection");
                if error.is_timeout() {
                    status.refused("header-timeout");
                }
            }
            drop(connection.slot);
        });
    }

    fn refused(&self, refused: Refused) {
        tracing::warn!("admin connection refused: {refused}");
        self.status.refused("connections");
    }
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    body(status, "text/plain; charset=utf-8", text.to_owned())
}

fn body(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
