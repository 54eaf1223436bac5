//! What a request reads: made whole by every reload, never changed.

use crate::phase::challenge::Challenges;
use crate::{ClientAddress, ErrorPages, Maintenance, RouteMetrics, Sockets, Upstream};
use http::{HeaderValue, StatusCode};
use ipnet::IpNet;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tidegate_chain::{Budget, Chain, Groups, HeadLimits, Plugin, Reply};
use tidegate_listen::proxy_protocol::Senders;
use tidegate_listen::tls::Acceptor;
use tidegate_route::{ListenerIndex, Table};

/// Everything that a request reads.
#[derive(Debug)]
pub struct State {
    /// The routes.
    pub routes: Table<Arc<Route>>,
    /// What is allowed.
    pub limits: Limits,
    /// Listeners by name.
    pub listeners: HashMap<Arc<str>, Arc<ListenerState>>,
    /// The same by their sockets. A state that was just built has none.
    pub sockets: Sockets,
    /// Upstreams by name: what plugins may choose from.
    pub upstreams: HashMap<Arc<str>, Arc<Upstream>>,
    /// The same as plugins see them.
    pub groups: Arc<Groups>,
    /// What bodies of all exchanges may hold back together.
    pub held: Arc<Budget>,
    /// Answers to authorities that ask whether names are ours; `None` where no authority is asked.
    pub challenges: Option<Arc<dyn Challenges>>,
    /// For requests without a route; each route has its own.
    pub error_pages: Arc<ErrorPages>,
    /// While it lasts, for requests without a route; each route has its own.
    pub maintenance: Option<Maintenance>,
}

impl State {
    /// The plugins of all routes.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<dyn Plugin>> {
        self.routes.values().flat_map(|route| route.chain.plugins())
    }
}

/// What a connection and its requests need to know of their listener.
#[derive(Clone, Debug, Default)]
pub struct ListenerState {
    /// Its name.
    pub name: Arc<str>,
    /// As routes know it; `None` once it is gone while connections go on.
    pub index: Option<ListenerIndex>,
    /// Who may say for whom a request is, in forwarding fields.
    pub trusted_proxies: Vec<IpNet>,
    /// In which of them.
    pub client_address: ClientAddress,
    /// Who may say for whom a connection is, in a PROXY protocol header.
    pub proxy_senders: Option<Arc<Senders>>,
    /// TLS, where it is spoken.
    pub tls: Option<Arc<Acceptor>>,
    /// The port of https, where everybody is sent there.
    pub https_redirect: Option<u16>,
    /// What responses over TLS say in `strict-transport-security`.
    pub hsts: Option<HeaderValue>,
}

/// Bounds of one request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Of heads, at arrival and after plugins' edits.
    pub head: HeadLimits,
    /// Bytes of a request target.
    pub uri_bytes: usize,
    /// Bytes of a request body; 0 for no bound.
    pub body_bytes: u64,
}

/// Bounds of requests and connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of a request, whatever its route.
    pub request: RequestLimits,
    /// From the first byte of a head to its end; of the first one on a connection, from when it may come: once a
    /// PROXY protocol header and the handshake of TLS are done.
    pub header_timeout: Duration,
    /// Of all that comes before HTTP: a PROXY protocol header and the handshake of TLS together.
    pub handshake_timeout: Duration,
    /// Of a connection between requests.
    pub idle_timeout: Duration,
    /// Between reads of a request body.
    pub read_timeout: Duration,
    /// Of one write to the client.
    pub write_timeout: Duration,
    /// Of what a client sends after the last answer: how long, and how many bytes, it is read.
    pub linger_timeout: Duration,
    /// See `linger_timeout`.
    pub linger_bytes: usize,
    /// Of HTTP/1 requests that wait for the one before them.
    pub pipelined_bytes: usize,
    /// Of one h2 connection: streams that were reset and are not yet done with.
    pub h2_resets: usize,
    /// Of one h2 connection: frames that ask for nothing, ahead of what the client is sent.
    pub h2_control_frames: u32,
    /// After this time a client may send all of `h2_control_frames` again.
    pub h2_control_frames_refill: Duration,
    /// Flow control of h2: what a client may send unread on a stream.
    pub h2_stream_window: u32,
    /// And on a connection.
    pub h2_connection_window: u32,
    /// Bytes of a response that its client does not read, on a stream of h2.
    pub h2_send_buffer: usize,
    /// On one connection of HTTP/1.
    pub requests_per_connection: u32,
    /// Concurrent, on one h2 connection.
    pub h2_streams: u32,
    /// Of a tunnel, without a byte either way.
    pub tunnel_idle_timeout: Duration,
    /// Of a tunnel that its upstream has ended, without a byte of the client's.
    pub tunnel_close_timeout: Duration,
}

/// A route: what is run and who is asked.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// Its plugins.
    pub chain: Chain,
    /// Who answers.
    pub target: Target,
    /// Where its requests are counted.
    pub metrics: RouteMetrics,
    /// Bounds of its requests: heads at most those of all.
    pub limits: RequestLimits,
    /// What its clients see of the proxy's own errors.
    pub error_pages: Arc<ErrorPages>,
    /// While it lasts.
    pub maintenance: Option<Maintenance>,
    /// Whether gRPC-Web is translated to gRPC for its upstream.
    pub grpc_web: bool,
}

/// Who answers the requests of a route.
#[derive(Debug)]
pub enum Target {
    /// A group of peers.
    Upstream(Arc<Upstream>),
    /// The proxy, always the same.
    Respond(Reply),
    /// The proxy, with the request as an upstream would see it.
    Echo,
    /// The proxy, with another place.
    Redirect(Redirect),
}

/// Another place for a request.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// The value of `location`.
    pub to: HeaderValue,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}
