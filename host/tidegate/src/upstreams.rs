//! Upstreams of a checked configuration: names are looked up, files of TLS are read.

use crate::app::Parts;
use crate::certificates::FILE_MAX;
use crate::tls::version;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_config::{self as config, Config, Error, Span, read_file};
use tidegate_http::{
    ClientTls, Forward, Peer, PeerAddress, Pools, ServerName, Speech, Timeouts, TlsOptions,
    Upstream,
};
use tidegate_listen::proxy_protocol::Version;

/// All upstreams by name. One that cannot be built is missing, and has an error.
pub(crate) async fn all<'a>(
    config: &'a Config,
    parts: &Parts,
    errors: &mut Vec<Error>,
) -> HashMap<&'a str, Arc<Upstream>> {
    let mut all = HashMap::new();
    for (name, upstream) in &config.upstreams {
        let tls = upstream.tls.as_ref();
        let tls = match tls.map(|tls| client_tls(config, upstream, tls)) {
            Some(Err(error)) => {
                errors.push(error);
                continue;
            }
            Some(Ok(tls)) => Some(Arc::new(tls)),
            None => None,
        };
        let mut peers = Vec::new();
        for peer in &upstream.peers {
            match peers_of(peer, upstream, tls.as_ref(), &parts.pools).await {
                Ok(resolved) => peers.extend(resolved),
                Err(problem) => errors.push(config.error(peer.span, problem)),
            }
        }
        let shared = Arc::from(name.as_str());
        // Without peers, each has its own error.
        let keeps = upstream.keepalive > 0;
        let hash_by = match &upstream.balance {
            config::Balance::RoundRobin => None,
            config::Balance::Hash { attribute } => Some(attribute.as_str().into()),
        };
        let forward = upstream.forward.iter().map(forward).collect();
        let (attempts, metrics) = (upstream.attempts, &parts.metrics);
        let built = Upstream::new(&shared, peers, attempts, keeps, hash_by, forward, metrics);
        if let Ok(mut built) = built {
            built.admission = parts.admissions.of(name, upstream, &parts.metrics);
            all.insert(name.as_str(), Arc::new(built));
        }
    }
    all
}

/// The files of TLS to upstreams.
pub(crate) fn files(config: &Config) -> Vec<PathBuf> {
    let tls = config.upstreams.values().filter_map(|one| one.tls.as_ref());
    let files = tls.flat_map(|tls| {
        let ca = tls.ca.as_ref().map(|ca| &ca.value);
        let own = tls.certificate.as_ref();
        [ca, own.map(|own| &own.cert), own.map(|own| &own.key)]
    });
    files.flatten().cloned().collect()
}

/// The peers that one entry stands for: a name can have several addresses.
async fn peers_of(
    peer: &config::Peer,
    upstream: &config::Upstream,
    tls: Option<&Arc<ClientTls>>,
    pools: &Pools,
) -> Result<Vec<Peer>, String> {
    let addresses = match &peer.address {
        config::PeerAddress::Socket(socket) => vec![PeerAddress::Tcp(*socket)],
        config::PeerAddress::Unix(path) => vec![PeerAddress::Unix(path.clone())],
        config::PeerAddress::Name { host, port } => {
            let found = tokio::net::lookup_host((host.as_str(), *port)).await;
            let found: Vec<SocketAddr> = found
                .map_err(|error| format!("cannot look up `{host}`: {error}"))?
                .collect();
            found.into_iter().map(PeerAddress::Tcp).collect()
        }
    };
    let timeout = &upstream.timeout;
    let timeouts = Timeouts {
        connect: timeout.connect,
        read: timeout.read,
        write: timeout.write,
        idle: timeout.idle,
    };
    let tls = match tls {
        Some(tls) => Some((tls.clone(), server_name(peer, upstream)?)),
        None => None,
    };
    let speech = Speech {
        http2: upstream.protocol == config::UpstreamProtocol::Http2,
        tls,
        proxy: upstream.proxy_protocol.map(|version| match version {
            config::ProxyVersion::V1 => Version::V1,
            config::ProxyVersion::V2 => Version::V2,
        }),
        keep: upstream.keepalive as usize,
    };
    let name = peer.address.to_string();
    let peers = addresses.iter().map(|address| {
        let speech = speech.clone();
        Peer::new(&name, address, peer.weight, &timeouts, speech, pools)
    });
    peers
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

/// Whom the certificate of a peer has to be for.
fn server_name(
    peer: &config::Peer,
    upstream: &config::Upstream,
) -> Result<ServerName<'static>, String> {
    let given = upstream
        .tls
        .as_ref()
        .and_then(|tls| tls.server_name.as_ref());
    let name = match (given, &peer.address) {
        (Some(name), _) => name.to_string(),
        (None, config::PeerAddress::Socket(socket)) => socket.ip().to_string(),
        (None, config::PeerAddress::Name { host, .. }) => host.clone(),
        (None, config::PeerAddress::Unix(_)) => String::new(),
    };
    ServerName::try_from(name)
        .map_err(|_| "its host cannot be the name of a certificate; set `server_name`".to_owned())
}

fn client_tls(
    config: &Config,
    upstream: &config::Upstream,
    tls: &config::UpstreamTls,
) -> Result<ClientTls, Error> {
    let read = |path: &Path, span: Span| {
        let read = read_file(path, FILE_MAX);
        read.map_err(|error| config.error(span, error.to_string()))
    };
    let ca = match &tls.ca {
        Some(ca) => Some(read(&ca.value, ca.span)?),
        None => None,
    };
    let certificate = match &tls.certificate {
        Some(files) => Some((
            read(&files.cert, files.span)?,
            read(&files.key, files.span)?,
        )),
        None => None,
    };
    let options = TlsOptions {
        ca: ca.as_deref(),
        certificate: certificate
            .as_ref()
            .map(|(cert, key)| (&cert[..], &key[..])),
        min_version: version(tls.min_version),
        http2: upstream.protocol == config::UpstreamProtocol::Http2,
        accept_any_certificate: tls.danger_accept_any_certificate,
    };
    ClientTls::new(&options).map_err(|error| config.error(tls.span, error.to_string()))
}

fn forward(fields: &config::Forward) -> Forward {
    match fields {
        config::Forward::XForwarded => Forward::XForwarded,
        config::Forward::Forwarded => Forward::Forwarded,
        config::Forward::TrueClientIp => Forward::TrueClientIp,
        config::Forward::CfConnectingIp => Forward::CfConnectingIp,
    }
}
