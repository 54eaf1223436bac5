//! The data path's metrics. Handles are resolved when a state is built; a request only adds.

use crate::abuse::{Cut, Refusal};
use crate::connect::ConnectError;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use std::sync::Arc;
use std::time::Duration;

/// Metrics of routes, upstreams and listeners.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    attempts: IntCounterVec,
    unconnected: IntCounterVec,
    head_seconds: HistogramVec,
    connections: IntGaugeVec,
    connections_total: IntCounterVec,
    overload: IntCounterVec,
    waiting: IntGaugeVec,
    not_accepted: IntCounterVec,
    refused: IntCounterVec,
    handshakes: IntCounterVec,
    tunnels: IntGaugeVec,
    tunnel_bytes: IntCounterVec,
    abuse: Arc<AbuseMetrics>,
    without_route: RouteMetrics,
}

/// What is refused or cut, by reason.
#[derive(Debug)]
pub(crate) struct AbuseMetrics {
    /// In the order of [`Refusal::ALL`].
    refused: [IntCounter; Refusal::ALL.len()],
    cut: IntCounterVec,
}

/// Metrics of one route.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    /// By the first digit of the status; the first is for requests without a response.
    requests: [IntCounter; 6],
    seconds: Histogram,
    pub(crate) tunnels: TunnelMetrics,
}

/// Metrics of a route's tunnels.
#[derive(Clone, Debug)]
pub(crate) struct TunnelMetrics {
    pub(crate) open: IntGauge,
    /// Bytes from clients.
    pub(crate) received: IntCounter,
    /// Bytes to clients.
    pub(crate) sent: IntCounter,
}

/// Metrics of one upstream.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamMetrics {
    pub(crate) answered: IntCounter,
    pub(crate) failed: IntCounter,
    pub(crate) late: IntCounter,
    pub(crate) head_seconds: Histogram,
    unconnected: [(&'static str, IntCounter); ConnectError::REASONS.len()],
}

/// Metrics of an upstream with a bound.
#[derive(Clone, Debug)]
pub(crate) struct AdmissionMetrics {
    pub(crate) waiting: IntGauge,
    pub(crate) queue_full: IntCounter,
    pub(crate) queue_timeout: IntCounter,
}

/// Metrics of one listener.
#[derive(Clone, Debug)]
pub(crate) struct ListenerMetrics {
    pub(crate) open: IntGauge,
    pub(crate) total: IntCounter,
    pub(crate) refused_connections: IntCounter,
    pub(crate) refused_per_address: IntCounter,
}

fn buckets() -> Vec<f64> {
    vec![
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ]
}

impl Metrics {
    /// Register the metrics.
    ///
    /// # Errors
    /// The registry has metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(buckets());
            let vec = HistogramVec::new(options, labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let connections = IntGaugeVec::new(
            Opts::new("tidegate_connections", "Open client connections."),
            &["listener"],
        )?;
        registry.register(Box::new(connections.clone()))?;
        let requests = counter(
            "tidegate_requests_total",
            "Requests by route and class of status; `none` where no response was sent.",
            &["route", "status"],
        )?;
        let seconds = histogram(
            "tidegate_request_seconds",
            "From the end of the request head to the end of the response.",
            &["route"],
        )?;
        let tunnels = IntGaugeVec::new(
            Opts::new(
                "tidegate_tunnels",
                "Open tunnels: WebSockets and other connections that left HTTP.",
            ),
            &["route"],
        )?;
        registry.register(Box::new(tunnels.clone()))?;
        let waiting = IntGaugeVec::new(
            Opts::new(
                "tidegate_upstream_waiting",
                "Requests that wait for their turn, where an upstream has a limit.",
            ),
            &["upstream"],
        )?;
        registry.register(Box::new(waiting.clone()))?;
        let tunnel_bytes = counter(
            "tidegate_tunnel_bytes_total",
            "Bytes through tunnels: `received` from clients, `sent` to them.",
            &["route", "direction"],
        )?;
        Ok(Metrics {
            without_route: RouteMetrics::new(
                &requests,
                &seconds,
                TunnelMetrics::new(&tunnels, &tunnel_bytes, ""),
                "",
            ),
            tunnels,
            tunnel_bytes,
            abuse: Arc::new(AbuseMetrics::new(
                &counter(
                    "tidegate_requests_refused_total",
                    "Requests that were refused before a plugin or an upstream got them, by reason.",
                    &["reason"],
                )?,
                counter(
                    "tidegate_connections_cut_total",
                    "Connections, and streams of HTTP/2 on which a body or a reader stalled, that were ended.",
                    &["listener", "reason"],
                )?,
            )),
            requests,
            seconds,
            attempts: counter(
                "tidegate_upstream_attempts_total",
                "Attempts at peers, by upstream and result: `ok` for a response head, `timeout` where the peer was silent for too long, `error` otherwise.",
                &["upstream", "result"],
            )?,
            unconnected: counter(
                "tidegate_upstream_connect_failures_total",
                "Connections to peers that did not come about, by upstream and reason.",
                &["upstream", "reason"],
            )?,
            head_seconds: histogram(
                "tidegate_upstream_head_seconds",
                "From the start of a request to the head of the upstream's response.",
                &["upstream"],
            )?,
            overload: counter(
                "tidegate_upstream_refused_total",
                "Requests that an upstream did not get because it has as many as it may, by reason.",
                &["upstream", "reason"],
            )?,
            waiting,
            connections,
            connections_total: counter(
                "tidegate_connections_total",
                "Accepted client connections.",
                &["listener"],
            )?,
            not_accepted: counter(
                "tidegate_accept_failures_total",
                "Attempts to accept a connection that failed, as when the process has too many files open.",
                &["listener"],
            )?,
            refused: counter(
                "tidegate_connections_refused_total",
                "Connections closed before their first request, by reason: a cap that was reached, or what went wrong with the PROXY protocol or TLS.",
                &["listener", "reason"],
            )?,
            handshakes: counter(
                "tidegate_tls_handshakes_total",
                "TLS handshakes that were completed; `resumed` is `true` where a session ticket was used.",
                &["listener", "version", "resumed"],
            )?,
        })
    }

    /// The metrics of a route.
    pub fn route(&self, name: &str) -> RouteMetrics {
        let tunnels = TunnelMetrics::new(&self.tunnels, &self.tunnel_bytes, name);
        RouteMetrics::new(&self.requests, &self.seconds, tunnels, name)
    }

    pub(crate) fn without_route(&self) -> &RouteMetrics {
        &self.without_route
    }

    /// A connection of a listener waits, but could not be accepted.
    pub(crate) fn not_accepted(&self, listener: &str) {
        self.not_accepted.with_label_values(&[listener]).inc();
    }

    /// A connection of a listener was refused.
    pub(crate) fn refused(&self, listener: &str, reason: &str) {
        self.refused.with_label_values(&[listener, reason]).inc();
    }

    /// A handshake of TLS was completed.
    pub(crate) fn handshake(&self, listener: &str, version: &str, resumed: bool) {
        let resumed = if resumed { "true" } else { "false" };
        let labels = [listener, version, resumed];
        self.handshakes.with_label_values(&labels).inc();
    }

    pub(crate) fn abuse(&self) -> &Arc<AbuseMetrics> {
        &self.abuse
    }

    pub(crate) fn upstream(&self, name: &str) -> UpstreamMetrics {
        UpstreamMetrics {
            answered: self.attempts.with_label_values(&[name, "ok"]),
            failed: self.attempts.with_label_values(&[name, "error"]),
            late: self.attempts.with_label_values(&[name, "timeout"]),
            head_seconds: self.head_seconds.with_label_values(&[name]),
            unconnected: ConnectError::REASONS
                .map(|reason| (reason, self.unconnected.with_label_values(&[name, reason]))),
        }
    }

    pub(crate) fn admission(&self, name: &str) -> AdmissionMetrics {
        let refused = |reason| self.overload.with_label_values(&[name, reason]);
        AdmissionMetrics {
            waiting: self.waiting.with_label_values(&[name]),
            queue_full: refused("queue-full"),
            queue_timeout: refused("queue-timeout"),
        }
    }

    pub(crate) fn listener(&self, name: &str) -> ListenerMetrics {
        ListenerMetrics {
            open: self.connections.with_label_values(&[name]),
            total: self.connections_total.with_label_values(&[name]),
            refused_connections: self.refused.with_label_values(&[name, "connections"]),
            refused_per_address: self.refused.with_label_values(&[name, "per-address"]),
        }
    }
}

impl UpstreamMetrics {
    /// A connection did not come about.
    pub(crate) fn unconnected(&self, reason: &str) {
        let mut counters = self.unconnected.iter();
        if let Some((_, counter)) = counters.find(|(known, _)| *known == reason) {
            counter.inc();
        }
    }
}

impl TunnelMetrics {
    fn new(open: &IntGaugeVec, bytes: &IntCounterVec, route: &str) -> TunnelMetrics {
        TunnelMetrics {
            open: open.with_label_values(&[route]),
            received: bytes.with_label_values(&[route, "received"]),
            sent: bytes.with_label_values(&[route, "sent"]),
        }
    }
}

impl AbuseMetrics {
    fn new(refused: &IntCounterVec, cut: IntCounterVec) -> AbuseMetrics {
        AbuseMetrics {
            refused: Refusal::ALL.map(|reason| refused.with_label_values(&[reason.label()])),
            cut,
        }
    }

    pub(crate) fn refused(&self, reason: Refusal) {
        if let Some(counter) = self.refused.get(reason as usize) {
            counter.inc();
        }
    }

    pub(crate) fn cut(&self, listener: &str, reason: Cut) {
        self.cut
            .with_label_values(&[listener, reason.label()])
            .inc();
    }
}

impl RouteMetrics {
    fn new(
        requests: &IntCounterVec,
        seconds: &HistogramVec,
        tunnels: TunnelMetrics,
        name: &str,
    ) -> RouteMetrics {
        let classes = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
        RouteMetrics {
            requests: classes.map(|class| requests.with_label_values(&[name, class])),
            seconds: seconds.with_label_values(&[name]),
            tunnels,
        }
    }

    /// A request ended; status 0 where no response was sent.
    pub(crate) fn done(&self, status: u16, took: Duration) {
        if let Some(counter) = self.requests.get(usize::from(status / 100)) {
            counter.inc();
        }
        self.seconds.observe(took.as_secs_f64());
    }
}
