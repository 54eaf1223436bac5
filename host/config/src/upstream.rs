//! `[upstream.NAME]`: a group of peers that serve the same thing.

use std::time::Duration;

use crate::address::PeerAddress;
use crate::attribute::AttributeName;
use crate::error::Invalid;
use crate::forwarding::Forward;
use crate::located::{Located, Span};
use crate::proxy_protocol::ProxyVersion;
use crate::resolve::Resolver;
use crate::shorthand::{Brief, Shorthand};
use crate::text::{Text, Textual};
use crate::upstream_tls::{RawUpstreamTls, UpstreamTls};
use crate::whole::Whole;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One `[upstream.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// From 1 to 1024.
    pub peers: Vec<Peer>,
    /// What is spoken with them.
    pub protocol: UpstreamProtocol,
    /// How a peer is chosen.
    pub balance: Balance,
    /// What may take how long.
    pub timeout: Timeouts,
    /// Peers tried for one request, 1 to 10.
    pub attempts: u32,
    /// The most idle connections that are kept for reuse; 0 keeps none.
    pub keepalive: u32,
    /// Requests at once, on all peers together; 0 is no limit.
    pub requests: u32,
    /// Requests that may wait for their turn, where there is a limit.
    pub queue: u32,
    /// When those who are refused may ask again; nothing does not say.
    pub retry_after: Duration,
    /// The header that each connection begins with, which is then for one client.
    pub proxy_protocol: Option<ProxyVersion>,
    /// What tells the upstream about the client; nothing twice, perhaps nothing.
    pub forward: Vec<Forward>,
    /// TLS, where it is spoken.
    pub tls: Option<UpstreamTls>,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Where it is.
    pub address: PeerAddress,
    /// Its share of requests, against the other peers' weights; 1 to 100.
    pub weight: u32,
    /// Where it was written, for a name that turns out not to exist.
    pub span: Span,
}

/// What is spoken with the peers of an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamProtocol {
    /// HTTP/1.1
    #[default]
    Http1,
    /// HTTP/2: with TLS as ALPN agrees, without TLS known in advance (RFC 9113 §3.3).
    Http2,
}

/// How a peer is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Balance {
    /// In turn, as often as their weights say.
    #[default]
    RoundRobin,
    /// By rendezvous hashing of an attribute's value; in turn where an exchange does not have it.
    Hash {
        /// The attribute's name.
        attribute: String,
    },
}

/// What may take how long between the proxy and a peer.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// To connect.
    #[serde(with = "Text::<Duration>")]
    pub connect: Duration,
    /// Between two reads of a response.
    #[serde(with = "Text::<Duration>")]
    pub read: Duration,
    /// For a peer to accept a piece of the request.
    #[serde(with = "Text::<Duration>")]
    pub write: Duration,
    /// How long an unused connection is kept for reuse. Shorter than the peer's own limit avoids retries.
    #[serde(with = "Text::<Duration>")]
    pub idle: Duration,
    /// For a request to wait for its turn, where `requests` is a limit.
    #[serde(with = "Text::<Duration>")]
    pub queue: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            read: Duration::from_secs(60),
            write: Duration::from_secs(60),
            idle: Duration::from_secs(50),
            queue: Duration::from_secs(1),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawUpstream {
    /// Addresses: "127.0.0.1:9000", "app.internal:80", "unix:/run/app.sock", or with a share of requests
    /// from 1 to 100, { address = "127.0.0.1:9001", weight = 2 }.
    #[schemars(example = serde_json::json!(["127.0.0.1:9000"]), length(min = 1, max = 1024))]
    peers: Located<Vec<Brief<RawPeer>>>,
    /// What is spoken with the peers: "http1" (HTTP/1.1) or "http2" (HTTP/2; with `tls` they must agree to
    /// it, without TLS it is not asked for first).
    #[serde(default)]
    protocol: UpstreamProtocol,
    /// How a peer is chosen: "round-robin" (in turn, as often as their weights say), or
    /// { hash = "client.address" }: the same peer for the same client as long as the peers are the same. It may be
    /// another attribute, such as one that a plugin sets: the same peer for the same value, in turn where it
    /// is not set.
    #[serde(default)]
    #[schemars(extend("default" = "round-robin"))]
    balance: Brief<RawBalance>,
    /// Peers tried when connecting fails, or when a request that may be repeated has failed; 1 to 10.
    #[serde(default = "attempts", with = "Whole::<1, 10>")]
    attempts: u32,
    /// The most idle connections kept for reuse. 0 keeps none.
    #[serde(default = "keepalive", with = "Whole::<0, 65_536>")]
    keepalive: u32,
    /// The most requests that the upstream gets at once, on all of its peers together. Further ones wait, or are
    /// answered with 503. 0 is no limit.
    #[serde(default, with = "Whole::<0, 1_000_000>")]
    requests: u32,
    /// How many requests may wait for their turn, where `requests` is a limit; each for `timeout.queue`.
    #[serde(default, with = "Whole::<0, 1_000_000>")]
    queue: u32,
    /// What the 503 for too many requests says about when to ask again (Retry-After). "0s" does not say.
    #[serde(default = "retry_after", with = "Text::<Duration>")]
    retry_after: Duration,
    /// Begin each connection with a PROXY protocol header, "v1" or "v2", that says who the client is. A
    /// connection is then used for one client only.
    #[schemars(example = &"v2")]
    proxy_protocol: Option<ProxyVersion>,
    /// What tells the upstream about the client: "x-forwarded" (X-Forwarded-For, -Proto and -Host, and
    /// X-Real-IP), "forwarded" (RFC 7239), "true-client-ip", "cf-connecting-ip".
    #[serde(default = "forward")]
    forward: Vec<Forward>,
    /// What may take how long between the proxy and a peer.
    #[serde(default)]
    timeout: Timeouts,
    /// Speak TLS with the peers. Their certificates are verified.
    tls: Option<Located<RawUpstreamTls>>,
}

fn forward() -> Vec<Forward> {
    vec![Forward::XForwarded]
}

fn attempts() -> u32 {
    2
}

fn keepalive() -> u32 {
    128
}

pub(crate) fn retry_after() -> Duration {
    Duration::from_secs(1)
}

impl RawUpstream {
    pub(crate) fn resolve(self, resolver: &mut Resolver) -> Upstream {
        let peers = self.peers.value;
        if !(1..=PEERS_MAX).contains(&peers.len()) {
            resolver.reject(
                self.peers.span,
                format!("the upstream has {} peers", peers.len()),
                format!("expected 1 to {PEERS_MAX}"),
            );
        }
        let peers: Vec<_> = peers.into_iter().map(|peer| peer.0.resolve()).collect();
        let unix = |peer: &Peer| matches!(peer.address, PeerAddress::Unix(_));
        let unix = peers.iter().any(unix);
        let mut forward = Vec::with_capacity(self.forward.len());
        for way in self.forward {
            if !forward.contains(&way) {
                forward.push(way);
            }
        }
        Upstream {
            peers,
            protocol: self.protocol,
            balance: self.balance.0.0,
            timeout: self.timeout,
            attempts: self.attempts,
            keepalive: self.keepalive,
            requests: self.requests,
            queue: self.queue,
            retry_after: self.retry_after,
            proxy_protocol: self.proxy_protocol,
            forward,
            tls: self
                .tls
                .map(|tls| tls.value.resolve(tls.span, unix, resolver)),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawPeer {
    /// Where it is.
    address: Located<Text<PeerAddress>>,
    /// Its share of requests, against the other peers' weights.
    #[serde(default = "weight", with = "Whole::<1, 100>")]
    weight: u32,
}

fn weight() -> u32 {
    1
}

impl RawPeer {
    fn resolve(self) -> Peer {
        Peer {
            address: self.address.value.0,
            weight: self.weight,
            span: self.address.span,
        }
    }
}

impl Shorthand for RawPeer {
    const EXPECTED: &'static str = "an address such as \"127.0.0.1:9000\", or a table such as \
        { address = \"127.0.0.1:9000\", weight = 2 }";

    fn expand(text: Located<String>) -> Result<Self, Invalid> {
        let address = Text(PeerAddress::parse(&text.value)?);
        Ok(Self {
            address: Located::new(address, text.span),
            weight: weight(),
        })
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(from = "RawHash")]
struct RawBalance(#[schemars(with = "RawHash")] Balance);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawHash {
    /// The attribute whose value chooses the peer.
    hash: Text<AttributeName>,
}

impl From<RawHash> for RawBalance {
    fn from(raw: RawHash) -> Self {
        let attribute = raw.hash.0.0;
        Self(Balance::Hash { attribute })
    }
}

impl Shorthand for RawBalance {
    const EXPECTED: &'static str = "\"round-robin\" or a table such as { hash = \"tenant\" }";

    fn expand(text: Located<String>) -> Result<Self, Invalid> {
        match text.value.as_str() {
            "round-robin" => Ok(Self(Balance::RoundRobin)),
            other => Err(Invalid::new(
                format!("unknown value `{other}`"),
                format!("expected {}", Self::EXPECTED),
            )),
        }
    }
}

const PEERS_MAX: usize = 1024;
