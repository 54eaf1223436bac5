//! `[limits]`: what a client may take of the proxy.

use std::time::Duration;

use crate::size::{GIB, KIB, MIB, Size};
use crate::text::Text;
use crate::whole::Whole;
use schemars::JsonSchema;
use serde::Deserialize;

/// Pingora's parser takes no more header fields.
pub(crate) const HEADER_COUNT_MAX: u32 = 256;

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Size of a request's head: the first line and all header fields.
    #[serde(with = "Size::<KIB>")]
    pub header_bytes: u64,
    /// Number of header fields in a request, at most 256: the parser takes no more.
    #[serde(with = "Whole::<1, HEADER_COUNT_MAX>")]
    pub header_count: u32,
    /// Size of a request's target: path and query.
    #[serde(with = "Size::<64>")]
    pub uri_bytes: u64,
    /// Size of a request's body. 0 is no limit.
    #[serde(with = "Size::<0>")]
    pub body_bytes: u64,
    /// Time for a whole request head to arrive.
    #[serde(with = "Text::<Duration>")]
    pub header_timeout: Duration,
    /// How long a connection may stay open without a request (keep-alive and HTTP/2).
    #[serde(with = "Text::<Duration>")]
    pub idle_timeout: Duration,
    /// Time between two reads of a request's body.
    #[serde(with = "Text::<Duration>")]
    pub read_timeout: Duration,
    /// Time that a client may take to accept a piece of the response.
    #[serde(with = "Text::<Duration>")]
    pub write_timeout: Duration,
    /// After the last answer on a connection: how long what the client still sends is read and thrown away, so that
    /// it gets the whole answer.
    #[serde(with = "Text::<Duration>")]
    pub linger_timeout: Duration,
    /// After the last answer on a connection: how much of what the client still sends is read.
    #[serde(with = "Size::<0>")]
    pub linger_bytes: u64,
    /// Requests of HTTP/1.1 that a client sends before it has its answer (pipelining): how much of them is read
    /// ahead. The rest waits.
    #[serde(with = "Size::<KIB, MIB>")]
    pub pipelined_bytes: u64,
    /// Requests on one connection of HTTP/1.1 before it is closed.
    #[serde(with = "Whole::<1>")]
    pub requests_per_connection: u32,
    /// Connections open at once on each listener, on all of its addresses together. Each may need two descriptors.
    #[serde(with = "Whole::<1>")]
    pub connections: u32,
    /// Connections open at once from one client address, on each listener.
    #[serde(with = "Whole::<1>")]
    pub connections_per_address: u32,
    /// Requests open at once on one HTTP/2 connection.
    #[serde(with = "Whole::<1>")]
    pub h2_streams: u32,
    /// HTTP/2 streams of one connection that were reset, by the client or by errors that it provokes, and
    /// that the proxy has not yet done with. A client with more loses its connection.
    #[serde(with = "Whole::<1, 65_536>")]
    pub h2_resets: u32,
    /// HTTP/2 frames that ask for nothing (SETTINGS, PING, PRIORITY, WINDOW_UPDATE, RST_STREAM, unknown ones) that a
    /// client may send on one connection. Each frame of a response allows four more, and `h2_control_frames_refill`
    /// all of them again. A client that sends more loses its connection.
    #[serde(with = "Whole::<100, 1_000_000>")]
    pub h2_control_frames: u32,
    /// Time after which an HTTP/2 client may send all of `h2_control_frames` again; after half of it, half of them.
    #[serde(with = "Text::<Duration>")]
    pub h2_control_frames_refill: Duration,
    /// How much of a request's body an HTTP/2 client may send before it is read (flow control of a stream). More makes
    /// uploads over long distances faster, and costs memory where an upstream is slow.
    #[serde(with = "Size::<{ 16 * KIB }, GIB>")]
    pub h2_stream_window: u64,
    /// The same for all requests on one HTTP/2 connection together.
    #[serde(with = "Size::<{ 64 * KIB }, GIB>")]
    pub h2_connection_window: u64,
    /// How much of a response is kept on an HTTP/2 stream whose client does not read.
    #[serde(with = "Size::<{ 16 * KIB }, GIB>")]
    pub h2_send_buffer: u64,
    /// Time for all that comes before the first request: PROXY protocol header and TLS handshake together.
    #[serde(with = "Text::<Duration>")]
    pub handshake_timeout: Duration,
    /// TLS handshakes under way at once on each listener: from the moment that the whole ClientHello is there. Further
    /// connections are closed.
    #[serde(with = "Whole::<1>")]
    pub handshakes: u32,
    /// TLS handshakes under way at once from one client address. Fewer than `handshakes`, or one client could keep all
    /// others out.
    #[serde(with = "Whole::<1>")]
    pub handshakes_per_address: u32,
    /// Size of a TLS ClientHello.
    #[serde(with = "Size::<KIB, { 64 * KIB }>")]
    pub client_hello_bytes: u64,
    /// How long an upgraded connection, such as a WebSocket, may stay open without a byte either way.
    #[serde(with = "Text::<Duration>")]
    pub tunnel_idle_timeout: Duration,
    /// How long the client of an upgraded connection may leave its half open without sending anything, once the
    /// upstream has ended its own.
    #[serde(with = "Text::<Duration>")]
    pub tunnel_close_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 32 * KIB,
            header_count: 100,
            uri_bytes: 8 * KIB,
            body_bytes: 100 * MIB,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            linger_timeout: Duration::from_secs(2),
            linger_bytes: 4 * MIB,
            pipelined_bytes: 16 * KIB,
            requests_per_connection: 10_000,
            connections: 10_000,
            connections_per_address: 1000,
            h2_streams: 100,
            h2_resets: 128,
            h2_control_frames: 1000,
            h2_control_frames_refill: Duration::from_secs(10),
            h2_stream_window: MIB,
            h2_connection_window: 4 * MIB,
            h2_send_buffer: 64 * KIB,
            handshake_timeout: Duration::from_secs(10),
            handshakes: 2000,
            handshakes_per_address: 500,
            client_hello_bytes: 16 * KIB,
            tunnel_idle_timeout: Duration::from_secs(24 * 3600),
            tunnel_close_timeout: Duration::from_secs(10),
        }
    }
}
