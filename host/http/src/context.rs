//! What a connection and a request carry along.

use crate::abuse::Refusal;
use crate::admission::Place;
use crate::body_clock::BodyClock;
use crate::connect::ProxiedFor;
use crate::error_pages::ErrorPages;
use crate::guard::Guard;
use crate::handshake::ClientFields;
use crate::http1::{Left, Spelling};
use crate::interpose::Back;
use crate::io::HeadClock;
use crate::plugins::Shared;
use crate::sockets::Socket;
use crate::state::{ListenerState, RequestLimits, Route, State};
use crate::tunnel::Traffic;
use crate::upstream::Upstream;
use arc_swap::ArcSwap;
use http::{HeaderValue, StatusCode};
use pingora::http::RequestHeader;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_chain::{Facts, Reply, Value};
use tidegate_listen::tls::TlsFacts;

tokio::task_local! {
    /// Of a request whose phases have begun, when Pingora makes a context for it: it does so without an argument.
    static HANDED_OVER: Cell<Option<Context>>;
}

/// Let Pingora serve a request with a context that it has already.
pub(crate) async fn hand_over<T>(mut context: Context, serving: impl Future<Output = T>) -> T {
    context.is_handed_over = true;
    HANDED_OVER.scope(Cell::new(Some(context)), serving).await
}

/// What the proxy knows of a connection.
#[derive(Debug)]
pub struct Connection {
    /// The name of its listener when it began.
    pub listener: Arc<str>,
    /// The socket that it was accepted on, and which is of a listener.
    pub socket: Socket,
    /// Who is connected; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Where the client connected to: to us, or to the load balancer; `None` on a Unix socket.
    pub local: Option<SocketAddr>,
    /// Who sends the requests: the peer, or whom a load balancer names in a PROXY protocol header.
    pub client: Option<SocketAddr>,
    /// The address of `client` as a field's value, for the upstream.
    pub(crate) forwarded_for: Option<HeaderValue>,
    /// What its handshake has shown.
    pub(crate) tls: Option<TlsFacts>,
    /// What is known of it, for plugins and the access log.
    pub(crate) attributes: Arc<[(Box<str>, Value)]>,
    /// What upstreams are told of its client's certificate.
    pub(crate) client_fields: ClientFields,
    /// Tells the connection's IO when a head is being awaited.
    pub(crate) clock: Arc<HeadClock>,
    /// Counts what the client does that is refused.
    pub(crate) guard: Arc<Guard>,
}

/// What a request carries from phase to phase.
pub struct Context {
    pub(crate) connection: Option<Arc<Connection>>,
    pub(crate) state: Arc<State>,
    pub(crate) start: Instant,
    /// Set by the accept phase.
    pub(crate) facts: Arc<Facts>,
    /// Set by the request phase.
    pub(crate) route: Option<Arc<Route>>,
    /// Of a request that a plugin is interested in.
    pub(crate) plugins: Option<Shared>,
    /// How the client spelled the fields of its head.
    pub(crate) spelling: Spelling,
    /// Where a client of HTTP/1 is left when its session is dropped.
    pub(crate) left: Left,
    /// Where the client's session comes back from behind ours.
    pub(crate) interposed: Option<Back>,
    /// What is to be sent instead of what was to come, and why.
    pub(crate) instead: Option<Instead>,
    pub(crate) upstream: UpstreamTrace,
    /// Whether the client speaks gRPC-Web, and the upstream gRPC.
    pub(crate) grpc_web: bool,
    /// Of an h2 request.
    pub(crate) body_clock: Option<Arc<BodyClock>>,
    /// Bytes of the request body that passed.
    pub(crate) body_bytes: u64,
    /// What went through, where the request opened a tunnel.
    pub(crate) tunnel: Option<Traffic>,
    /// What went wrong, for the access log.
    pub(crate) problem: Option<String>,
    /// It failed before it was begun, and there is nothing wrong with the request.
    pub(crate) is_early: bool,
    /// It was accepted, and has its upstream.
    pub(crate) is_handed_over: bool,
}

/// A response that takes the place of another.
pub(crate) enum Instead {
    /// A plugin's reply, or a 503 for one that failed.
    Reply(Reply),
    /// A status with a short text.
    Status(StatusCode),
}

/// What became of the request upstream.
#[derive(Default)]
pub(crate) struct UpstreamTrace {
    pub(crate) attempts: u32,
    /// The index of the peer that was asked last, in its group's order.
    pub(crate) turn: usize,
    pub(crate) peer: Option<Arc<str>>,
    /// The group that is asked: the route's, or the one that a plugin chose.
    pub(crate) group: Option<Arc<Upstream>>,
    /// The request's place among those that the group has at once.
    pub(crate) place: Option<Place>,
    /// When its head was there, after the request's.
    pub(crate) answered_after: Option<Duration>,
}

impl Context {
    /// A context for a request that Pingora begins now: the one that it was handed over with.
    pub fn begin(state: &ArcSwap<State>) -> Context {
        let handed_over = HANDED_OVER.try_with(Cell::take).ok().flatten();
        handed_over.unwrap_or_else(|| Context::new(state, None, None))
    }

    /// A context for a request of this connection.
    pub(crate) fn new(
        state: &ArcSwap<State>,
        connection: Option<Arc<Connection>>,
        body_clock: Option<Arc<BodyClock>>,
    ) -> Context {
        Context {
            connection,
            state: state.load_full(),
            start: Instant::now(),
            facts: Arc::default(),
            route: None,
            plugins: None,
            spelling: Spelling::default(),
            left: Left::default(),
            interposed: None,
            instead: None,
            upstream: UpstreamTrace::default(),
            grpc_web: false,
            body_clock,
            body_bytes: 0,
            tunnel: None,
            problem: None,
            is_early: false,
            is_handed_over: false,
        }
    }

    /// The request's id.
    pub fn request_id(&self) -> &str {
        &self.facts.request_id
    }

    /// The client's connection, as an upstream is told by a PROXY header: of the client as it was resolved.
    pub(crate) fn proxied_for(&self) -> Option<ProxiedFor> {
        Some(ProxiedFor {
            source: self.facts.client?,
            destination: self.connection.as_ref()?.local?,
        })
    }

    /// What the state knows of the request's listener.
    pub(crate) fn listener(&self) -> Option<&ListenerState> {
        let connection = self.connection.as_ref()?;
        let listener = self.state.sockets.listener(&connection.socket);
        listener.map(|listener| &**listener)
    }

    /// The bounds of the request: its route's, once that is known.
    pub(crate) fn limits(&self) -> &RequestLimits {
        let route = self.route.as_ref();
        route.map_or(&self.state.limits.request, |route| &route.limits)
    }

    /// What the client sees of the proxy's own errors.
    pub(crate) fn error_pages(&self) -> &ErrorPages {
        let route = self.route.as_ref();
        route.map_or(&self.state.error_pages, |route| &route.error_pages)
    }

    /// Count the request as one that is refused.
    pub(crate) fn count_refused(&self, reason: Refusal) {
        if let Some(connection) = &self.connection {
            connection.guard.refused(reason);
        }
    }

    /// Let a connection of HTTP/1 end with this request's response, which says so if it has not begun.
    pub(crate) fn end_connection(&self) {
        if let Some(connection) = &self.connection {
            connection.clock.response_is_last();
        }
    }

    /// The facts, to be completed while nobody else has them.
    pub(crate) fn facts_mut(&mut self) -> &mut Facts {
        Arc::make_mut(&mut self.facts)
    }
}

/// An empty head, for a place that holds none at the moment.
pub(crate) fn empty_request() -> RequestHeader {
    RequestHeader::from(http::Request::new(()).into_parts().0)
}
