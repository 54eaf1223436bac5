//! One peer of an upstream, and what Pingora is told about it.

use crate::connect::{ClientTls, Connector, Dial, KEEPALIVE, ProxiedFor};
use crate::http1::{Likeness, Pool, Pools};
use crate::upstream::UpstreamError;
use pingora::protocols::ALPN;
use pingora::upstreams::peer::HttpPeer;
use rustc_hash::FxHasher;
use rustls_pki_types::ServerName;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidegate_listen::proxy_protocol::Version;

/// Streams on one h2 connection to a peer; more than that need another connection.
const H2_STREAMS: usize = 100;

/// One peer of a group.
#[derive(Clone, Debug)]
pub struct Peer {
    /// As it was written: for the log.
    pub name: Arc<str>,
    pub(crate) weight: u32,
    /// Of its address: several peers can have one name.
    pub(crate) hash: u64,
    template: HttpPeer,
    connector: Arc<Connector>,
    http2: bool,
    pool: Arc<Pool>,
    /// Keyed: clients choose their ports, and must not find two whose connections would be shared.
    clients: RandomState,
}

/// Where a peer is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// A resolved address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Timeouts of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To be connected, TLS included.
    pub connect: Duration,
    /// Between reads of a response.
    pub read: Duration,
    /// Of one write of a request.
    pub write: Duration,
    /// Of a pooled connection.
    pub idle: Duration,
}

/// What is spoken with a peer.
#[derive(Clone, Debug, Default)]
pub struct Speech {
    /// HTTP/2: without TLS from the first byte on (RFC 9113 §3.3), with TLS where the peer agrees.
    pub http2: bool,
    /// TLS, and the name that the peer's certificate has to be for.
    pub tls: Option<(Arc<ClientTls>, ServerName<'static>)>,
    /// The version of the PROXY protocol header that each connection begins with.
    pub proxy: Option<Version>,
    /// The most connections that wait for their next exchange.
    pub keep: usize,
}

impl Peer {
    /// A peer, whose connections wait in one of the pools.
    ///
    /// # Errors
    /// A Unix socket's path that cannot be one.
    pub fn new(
        name: &str,
        address: &PeerAddress,
        weight: u32,
        timeouts: &Timeouts,
        speech: Speech,
        pools: &Pools,
    ) -> Result<Peer, UpstreamError> {
        let likeness = Likeness {
            address: address.clone(),
            tls: speech
                .tls
                .as_ref()
                .map(|(tls, name)| (tls.key(), name.clone())),
            proxy: speech.proxy,
            most: speech.keep,
            timeout: timeouts.idle,
        };
        let connector = Arc::new(Connector {
            address: address.clone(),
            proxy: speech.proxy,
            tls: speech.tls,
            timeout: timeouts.connect,
        });
        let mut hasher = FxHasher::default();
        format!("{address:?}").hash(&mut hasher);
        Ok(Peer {
            name: name.into(),
            weight: weight.max(1),
            hash: hasher.finish(),
            template: template(&connector, timeouts, speech.http2)?,
            connector,
            http2: speech.http2,
            pool: pools.of(likeness),
            clients: RandomState::new(),
        })
    }

    /// What makes connections to it, for whoever speaks to it without Pingora.
    pub fn connector(&self) -> &Arc<Connector> {
        &self.connector
    }

    /// Its idle connections.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Whether HTTP/2 is spoken with it.
    pub fn is_http2(&self) -> bool {
        self.http2
    }

    /// How long to wait for each part of a response.
    pub(crate) fn read_timeout(&self) -> Option<Duration> {
        self.template.options.read_timeout
    }

    /// How long one write of a request may take.
    pub(crate) fn write_timeout(&self) -> Option<Duration> {
        self.template.options.write_timeout
    }

    /// What Pingora is told, for a request of this client.
    pub(crate) fn http_peer(&self, client: Option<ProxiedFor>) -> HttpPeer {
        let mut peer = self.template.clone();
        let Connector { proxy, tls, .. } = &*self.connector;
        if proxy.is_none() && tls.is_none() {
            return peer;
        }
        if proxy.is_some() {
            // The header is of the connection: it carries requests of one client.
            peer.group_key ^= self.clients.hash_one(client);
        }
        // For Pingora this is a plain connection: it is secured before it gets it.
        peer.options.custom_l4 = Some(Arc::new(Dial {
            connector: self.connector.clone(),
            client,
        }));
        peer
    }
}

fn template(
    connector: &Arc<Connector>,
    timeouts: &Timeouts,
    http2: bool,
) -> Result<HttpPeer, UpstreamError> {
    let mut template = match &connector.address {
        PeerAddress::Tcp(address) => HttpPeer::new(address, false, String::new()),
        PeerAddress::Unix(path) => {
            let refused = || UpstreamError::Path(path.clone());
            let text = path.to_str().ok_or_else(refused)?;
            HttpPeer::new_uds(text, false, String::new()).map_err(|_| refused())?
        }
    };
    let options = &mut template.options;
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.read);
    options.write_timeout = Some(timeouts.write);
    options.idle_timeout = Some(timeouts.idle);
    options.alpn = if http2 { ALPN::H2 } else { ALPN::H1 };
    options.max_h2_streams = H2_STREAMS;
    options.tcp_keepalive = Some(KEEPALIVE);
    if let Some((tls, name)) = &connector.tls {
        let mut hasher = FxHasher::default();
        (tls.key(), name).hash(&mut hasher);
        template.group_key = hasher.finish();
    }
    Ok(template)
}
