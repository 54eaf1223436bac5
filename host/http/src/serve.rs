//! From an accepted connection to its requests: find out what it speaks, then let it be served to its end.

use crate::abuse::Cut;
use crate::body_clock::BodyClock;
use crate::context::{Connection, Context};
use crate::guard::Guard;
use crate::handshake;
use crate::io::{Bounds, HeadClock, Io, Protocol};
use crate::life::{self, Next};
use crate::metrics::ListenerMetrics;
use crate::phase::log::Journal;
use crate::sockets::Socket;
use crate::state::{Limits, ListenerState, State};
use crate::{context, http1, tlv_attributes, tunnel};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::BytesMut;
use http::HeaderValue;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::{HttpProxy, ProxyHttp, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidegate_listen::tls::TlsFacts;
use tidegate_listen::{Plain, Refused, Stream};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep_until, timeout_at};

/// What an h2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How often Pingora asks for a peer at most; an upstream's `attempts` decides.
const ATTEMPTS_MAX: usize = 16;

/// The HTTP engine: one pool of upstream connections, shared by all listeners.
pub struct Server<P> {
    /// Serves what goes to upstreams that speak HTTP/2.
    pub(crate) proxy: Arc<HttpProxy<P>>,
    pub(crate) state: Arc<ArcSwap<State>>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) stop: ShutdownWatch,
}

impl<P> Clone for Server<P> {
    fn clone(&self) -> Server<P> {
        Server {
            proxy: self.proxy.clone(),
            state: self.state.clone(),
            journal: self.journal.clone(),
            stop: self.stop.clone(),
        }
    }
}

impl<P> Server<P>
where
    P: ProxyHttp<CTX = Context> + Send + Sync + 'static,
{
    /// An engine that calls `phases`. `stop` turning true lets connections end with their current
    /// request; its sender has to live as long as the server.
    pub fn new(
        phases: P,
        state: Arc<ArcSwap<State>>,
        journal: Arc<Journal>,
        threads: usize,
        pooled: usize,
        stop: ShutdownWatch,
    ) -> Server<P> {
        let conf = ServerConf {
            threads,
            max_retries: ATTEMPTS_MAX,
            upstream_keepalive_pool_size: pooled.div_ceil(threads.max(1)).max(1),
            ..ServerConf::default()
        };
        let mut proxy = http_proxy(&Arc::new(conf), phases);
        // Not to proxy it: the accept phase refuses it, with a line in the access log.
        let mut options = HttpServerOptions::default();
        options.allow_connect_method_proxying = true;
        proxy.server_options = Some(options);
        Server {
            proxy: Arc::new(proxy),
            state,
            journal,
            stop,
        }
    }

    /// Let Pingora go on with a request whose phases have begun.
    pub(crate) async fn hand_over(&self, session: ServerSession, context: Context) {
        let served = self.proxy.process_new_http(session, &self.stop);
        // Boxed, for few requests need the room.
        Box::pin(context::hand_over(context, served)).await;
    }

    /// The system did not give us a connection that waits on this socket.
    pub fn not_accepted(&self, socket: &Socket) {
        if let Some(listener) = self.state.load().sockets.listener(socket) {
            self.journal.metrics.not_accepted(&listener.name);
        }
    }

    /// Count a connection of this socket that was refused.
    pub fn refused(&self, socket: &Socket, refused: Refused) {
        if let Some(listener) = self.state.load().sockets.listener(socket) {
            self.count_refused(&listener.name, refused);
        }
    }

    fn count_refused(&self, listener: &str, refused: Refused) {
        let metrics = self.journal.metrics.listener(listener);
        match refused {
            Refused::Connections => metrics.refused_connections.inc(),
            Refused::PerAddress => metrics.refused_per_address.inc(),
            Refused::ProxyProtocol => self.journal.metrics.refused(listener, "proxy-protocol"),
        }
    }

    /// Serve a connection of this socket to its end.
    pub async fn serve(&self, socket: Socket, mut connection: tidegate_listen::Connection) {
        // One state for all that comes before the first request: half of an old listener and half of a new one
        // would be neither.
        let (limits, listener_state) = {
            let state = self.state.load();
            let Some(listener) = state.sockets.listener(&socket) else {
                return;
            };
            (state.limits.clone(), listener.clone())
        };
        let listener = listener_state.name.clone();
        let _open = Open::new(self.journal.metrics.listener(&listener));
        let deadline = Instant::now() + limits.handshake_timeout;
        let mut stop = self.stop.clone();
        let guard = self.guard(&listener, &limits);
        let identified = tokio::select! {
            identified = self.identify(&listener_state, &mut connection, deadline) => identified,
            // A connection that has said nothing yet has nothing to finish.
            _ = stop.wait_for(|stop| *stop) => return,
        };
        if !identified {
            return;
        }
        let tidegate_listen::Connection {
            stream,
            peer,
            client,
            destination,
            tlvs,
            slot,
        } = connection;
        let shaken = tokio::select! {
            shaken = self.shake_hands(&listener_state, stream, client, deadline) => shaken,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Some((mut stream, tls)) = shaken else {
            return;
        };
        drop(listener_state);
        let bounds = bounds(&limits);
        let sniffed = tokio::select! {
            sniffed = sniff(&mut stream) => sniffed,
            () = sleep_until(bounds.begun + bounds.head_time) => return guard.cut(Cut::HeaderTimeout),
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((protocol, first)) = sniffed else {
            return;
        };
        if let Some(tls) = tls.as_ref().filter(|tls| !tls.speaks(protocol.alpn())) {
            tracing::debug!(%listener, ?protocol, agreed = ?tls.alpn, "not what TLS was for");
            self.journal
                .metrics
                .refused(&listener, "application-protocol");
            return;
        }
        let client_fields = tls
            .as_ref()
            .map(|tls| handshake::client_fields(&stream, tls));
        let mut attributes = tlv_attributes::of(&tlvs);
        attributes.extend(tls.iter().flat_map(handshake::attributes));
        let clock = Arc::new(HeadClock::default());
        let local = destination.or_else(|| stream.local_address());
        let io = Io::new(
            stream,
            peer,
            first,
            protocol,
            clock.clone(),
            &bounds,
            guard.clone(),
        );
        let connection = Connection {
            listener,
            socket,
            peer,
            local,
            client,
            forwarded_for: client.and_then(forwarded_for),
            tls,
            attributes: attributes.into(),
            client_fields: client_fields.unwrap_or_default(),
            clock,
            guard,
        };
        let connection = Arc::new(connection);
        match protocol {
            Protocol::Http1 => {
                // Boxed, for one that says nothing does not need the room that requests take.
                Box::pin(http1::serve(self, io, &connection, &limits)).await;
            }
            Protocol::Http2 => {
                let app = self.app(&limits, connection);
                ServerApp::process_new(&app, Box::new(io), &self.stop).await;
            }
        }
        drop(slot);
    }

    fn guard(&self, listener: &Arc<str>, limits: &Limits) -> Arc<Guard> {
        let streams = limits.h2_streams as usize + limits.h2_resets;
        let abuse = self.journal.metrics.abuse().clone();
        Arc::new(Guard::new(abuse, listener.clone(), streams))
    }

    fn app(&self, limits: &Limits, connection: Arc<Connection>) -> Arc<App<P>> {
        Arc::new(App {
            server: self.clone(),
            options: options(limits),
            h2_options: h2_options(limits),
            connection,
        })
    }

    /// Find out who the client is; whether the connection goes on.
    async fn identify(
        &self,
        listener: &ListenerState,
        connection: &mut tidegate_listen::Connection,
        deadline: Instant,
    ) -> bool {
        let senders = listener.proxy_senders.as_deref();
        match timeout_at(deadline, connection.identify(senders)).await {
            Ok(Ok(())) => return true,
            Ok(Err(refused)) => self.count_refused(&listener.name, refused),
            Err(_) => self
                .journal
                .metrics
                .refused(&listener.name, "handshake-timeout"),
        }
        false
    }

    /// TLS, where the listener has it.
    async fn shake_hands(
        &self,
        listener: &ListenerState,
        plain: Plain,
        client: Option<SocketAddr>,
        deadline: Instant,
    ) -> Option<(Stream, Option<TlsFacts>)> {
        let Some(acceptor) = &listener.tls else {
            return Some((Stream::Plain(plain), None));
        };
        let client = client.map(|client| client.ip());
        let shaken = handshake::run(
            plain,
            client,
            acceptor,
            deadline,
            &listener.name,
            &self.journal.metrics,
        )
        .await;
        shaken.map(|(stream, facts)| (stream, Some(facts)))
    }

    /// Close connections that are between requests. For the end of the process: there is no way back.
    pub async fn close_idle(&self) {
        self.proxy.http_cleanup().await;
    }
}

fn forwarded_for(client: SocketAddr) -> Option<HeaderValue> {
    HeaderValue::try_from(client.ip().to_canonical().to_string()).ok()
}

/// For a connection on which the first head may begin now.
fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        begun: Instant::now(),
        head_time: limits.header_timeout,
        write_time: limits.write_timeout,
        idle_time: limits.idle_timeout,
        head: limits.request.head,
        linger_time: limits.linger_timeout,
        linger_bytes: limits.linger_bytes,
        pipelined: limits.pipelined_bytes,
        control_frames: limits.h2_control_frames,
        control_frames_refill: limits.h2_control_frames_refill,
    }
}

/// Read until it is clear what the client speaks. Other than Pingora's own way, this never waits for
/// more than the first byte that differs.
async fn sniff(stream: &mut Stream) -> std::io::Result<(Protocol, BytesMut)> {
    let mut first = BytesMut::with_capacity(1024);
    loop {
        if stream.read_buf(&mut first).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if first.starts_with(PREFACE) {
            return Ok((Protocol::Http2, first));
        }
        if !PREFACE.starts_with(&first) {
            return Ok((Protocol::Http1, first));
        }
    }
}

/// Pingora's app for one connection of HTTP/2: carries what is known of it to every request, each of which
/// runs in a task of its own.
struct App<P> {
    server: Server<P>,
    connection: Arc<Connection>,
    options: HttpServerOptions,
    h2_options: H2Options,
}

impl<P> App<P>
where
    P: ProxyHttp<CTX = Context> + Send + Sync + 'static,
{
    async fn serve(&self, mut session: ServerSession) {
        let clock = Arc::new(BodyClock::default());
        let connection = Some(self.connection.clone());
        let mut context = Context::new(&self.server.state, connection, Some(clock.clone()));
        let patience = context.state.limits.read_timeout;
        match life::run(&self.server, &mut session, &mut context).await {
            Next::Nothing => {}
            Next::Request => drop(session.finish_body().await),
            Next::Pingora => tokio::select! {
                biased;
                () = self.server.hand_over(session, context) => {}
                // Dropping the request resets its stream.
                () = clock.stalled(patience) => {
                    self.connection.guard.cut_stream(Cut::BodyTimeout);
                }
            },
        }
    }
}

#[async_trait]
impl<P> HttpServerApp for App<P>
where
    P: ProxyHttp<CTX = Context> + Send + Sync + 'static,
{
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        tunnel::translate(&mut session);
        let _served = self.connection.guard.stream();
        self.serve(session).await;
        None
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(self.h2_options.clone())
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}

fn h2_options(limits: &Limits) -> H2Options {
    let head_bytes = u32::try_from(limits.request.head.bytes).unwrap_or(u32::MAX);
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(head_bytes)
        .initial_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .max_send_buffer_size(limits.h2_send_buffer)
        .max_pending_accept_reset_streams(limits.h2_resets)
        .max_local_error_reset_streams(Some(limits.h2_resets))
        .enable_connect_protocol();
    options
}

fn options(limits: &Limits) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(limits.idle_timeout.max(Duration::from_secs(1)));
    options
}

/// Counts a connection while it is open.
struct Open(ListenerMetrics);

impl Open {
    fn new(metrics: ListenerMetrics) -> Open {
        metrics.open.inc();
        metrics.total.inc();
        Open(metrics)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.dec();
    }
}
