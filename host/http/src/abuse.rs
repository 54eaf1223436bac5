//! Why requests are refused and connections are cut.

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Bytes that are no request, or that two servers could read in two ways.
    Malformed,
    /// A body whose end is in doubt.
    Framing,
    /// No host, more than one, or none that there can be.
    Host,
    /// A host that is not served on this connection of TLS.
    Misdirected,
    /// A target that is no path.
    Target,
    /// A target longer than `limits.uri_bytes`.
    UriBytes,
    /// More fields than `limits.header_count`.
    HeaderCount,
    /// A head larger than `limits.header_bytes`.
    HeaderBytes,
    /// A body larger than `limits.body_bytes`.
    BodyBytes,
    /// `CONNECT`, also the extended one on a route without an upstream.
    Method,
    /// Its route is in maintenance.
    Maintenance,
    /// A stream of HTTP/2 above `limits.h2_streams`.
    Streams,
}

impl Refusal {
    /// All of them, in the order of their discriminants.
    pub(crate) const ALL: [Refusal; 12] = [
        Refusal::Malformed,
        Refusal::Framing,
        Refusal::Host,
        Refusal::Misdirected,
        Refusal::Target,
        Refusal::UriBytes,
        Refusal::HeaderCount,
        Refusal::HeaderBytes,
        Refusal::BodyBytes,
        Refusal::Method,
        Refusal::Maintenance,
        Refusal::Streams,
    ];

    /// As metrics have it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Refusal::Malformed => "malformed",
            Refusal::Framing => "framing",
            Refusal::Host => "host",
            Refusal::Misdirected => "misdirected",
            Refusal::Target => "target",
            Refusal::UriBytes => "uri-bytes",
            Refusal::HeaderCount => "header-count",
            Refusal::HeaderBytes => "header-bytes",
            Refusal::BodyBytes => "body-bytes",
            Refusal::Method => "method",
            Refusal::Maintenance => "maintenance",
            Refusal::Streams => "h2-streams",
        }
    }
}

/// Why a connection, or a stream of HTTP/2, is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A head did not come within `limits.header_timeout`.
    HeaderTimeout,
    /// A body did not come on within `limits.read_timeout`.
    BodyTimeout,
    /// A response was not read within `limits.write_timeout`.
    WriteTimeout,
    /// No request came within `limits.idle_timeout`.
    Idle,
    /// After the last answer the client went on for `limits.linger_timeout`, or for `limits.linger_bytes`.
    Linger,
    /// It had all of its `limits.requests_per_connection`.
    RequestsPerConnection,
    /// No byte went through a tunnel within `limits.tunnel_idle_timeout`.
    TunnelIdle,
    /// More streams than `limits.h2_resets` were reset and not yet done with.
    H2Resets,
    /// More frames that ask for nothing than `limits.h2_control_frames`, or other floods.
    H2Flood,
    /// Frames that are no HTTP/2.
    H2Error,
}

impl Cut {
    /// As metrics have it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Cut::HeaderTimeout => "header-timeout",
            Cut::BodyTimeout => "body-timeout",
            Cut::WriteTimeout => "write-timeout",
            Cut::Idle => "idle",
            Cut::Linger => "linger",
            Cut::RequestsPerConnection => "requests-per-connection",
            Cut::TunnelIdle => "tunnel-idle",
            Cut::H2Resets => "h2-resets",
            Cut::H2Flood => "h2-flood",
            Cut::H2Error => "h2-error",
        }
    }
}
