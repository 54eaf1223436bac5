//! From an origin to a connection: look the name up, check every address, dial one of those.

use super::address::Reach;
use super::failure::Failure;
use super::stream::Stream;
use http::Uri;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

/// Addresses of a name that are looked at.
const ADDRESSES_MAX: usize = 16;

/// Makes the connections of one trust.
#[derive(Clone)]
pub(super) struct Connector {
    private: bool,
    tls: TlsConnector,
    timeout: Duration,
    connections: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
}

/// What is to be connected to, out of the URI that the pool hands on.
struct Target {
    /// For messages.
    origin: String,
    tls: bool,
    /// A name, or an address without brackets.
    host: String,
    port: u16,
}

impl Connector {
    pub(super) fn new(
        private: bool,
        tls: Arc<ClientConfig>,
        timeout: Duration,
        connections: Arc<Semaphore>,
        lookups: Arc<Semaphore>,
    ) -> Connector {
        Connector {
            private,
            tls: tls.into(),
            timeout,
            connections,
            lookups,
        }
    }

    async fn connect(self, uri: Uri) -> Result<Stream, Failure> {
        let target = Target::of(&uri).ok_or(Failure::InvalidRequest("the URL is not one"))?;
        // Not waited for: idle connections give their place back only after their time.
        let place = self.connections.clone().try_acquire_owned();
        let place = place.map_err(|_| Failure::LimitReached("connections"))?;
        let deadline = Instant::now() + self.timeout;
        let connected = timeout_at(deadline, async {
            let addresses = self.look_up(&target).await?;
            check(&addresses, self.private, &target.origin)?;
            let tcp = dial(&addresses, deadline, &target.origin).await?;
            if target.tls {
                self.handshake(tcp, &target).await
            } else {
                Ok(Stream::plain(tcp))
            }
        });
        let stream = connected
            .await
            .unwrap_or_else(|_| Err(Failure::Timeout(target.origin.clone(), "connection")))?;
        Ok(stream.hold(place))
    }

    /// The system's resolver, so that names mean what they mean to the rest of the machine.
    async fn look_up(&self, target: &Target) -> Result<Vec<SocketAddr>, Failure> {
        if let Ok(address) = target.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, target.port)]);
        }
        let unresolved = || Failure::Unresolved(target.origin.clone());
        let lookup = self.lookups.clone().acquire_owned().await;
        let lookup = lookup.map_err(|_| Failure::Closed)?;
        let name = (target.host.clone(), target.port);
        let found = tokio::task::spawn_blocking(move || {
            // The place is held as long as the thread is, also when nobody waits any more.
            let _lookup = lookup;
            name.to_socket_addrs()
        });
        let mut addresses: Vec<SocketAddr> = match found.await {
            Ok(Ok(found)) => found.collect(),
            _ => return Err(unresolved()),
        };
        if addresses.is_empty() {
            return Err(unresolved());
        }
        addresses.truncate(ADDRESSES_MAX);
        Ok(addresses)
    }

    async fn handshake(&self, tcp: TcpStream, target: &Target) -> Result<Stream, Failure> {
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| Failure::InvalidRequest("the host cannot have a certificate"))?;
        let stream = self.tls.connect(name, tcp).await;
        stream.map(Stream::tls).map_err(|error| {
            let origin = target.origin.clone();
            match error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            {
                Some(error) => Failure::Tls(origin, error.to_string()),
                None => Failure::Unreachable(origin, error.to_string()),
            }
        })
    }
}

impl Target {
    fn of(uri: &Uri) -> Option<Target> {
        let tls = uri.scheme_str() == Some("https");
        let host = uri.host()?;
        let address = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Some(Target {
            origin: format!("{}://{}", uri.scheme_str()?, uri.authority()?),
            tls,
            host: address.unwrap_or(host).into(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
        })
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// One address that is not allowed forbids the name: who mixes them is trying something.
fn check(addresses: &[SocketAddr], private: bool, origin: &str) -> Result<(), Failure> {
    for address in addresses {
        let why = match Reach::of(address.ip()) {
            Reach::Public => continue,
            Reach::Private if private => continue,
            Reach::Private => "is not public, which needs a grant with `private = true`",
            Reach::Never => "is not the address of a server",
        };
        let forbidden = format!("{origin}: its address {} {why}", address.ip());
        return Err(Failure::Forbidden(forbidden));
    }
    Ok(())
}

/// One after the other, in the resolver's order (RFC 6724), each with its share of the time that is left.
async fn dial(
    addresses: &[SocketAddr],
    deadline: Instant,
    origin: &str,
) -> Result<TcpStream, Failure> {
    let mut failure = Failure::Timeout(origin.into(), "connection");
    for (place, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let waiting = u32::try_from(addresses.len() - place).unwrap_or(u32::MAX);
        let Ok(connected) = timeout(left / waiting, TcpStream::connect(address)).await else {
            failure = Failure::Timeout(origin.into(), "connection");
            continue;
        };
        match connected.and_then(no_delay) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failure = Failure::Unreachable(origin.into(), error.to_string()),
        }
    }
    Err(failure)
}

fn no_delay(tcp: TcpStream) -> io::Result<TcpStream> {
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(addresses: &[&str], private: bool) -> Result<(), Failure> {
        let addresses: Vec<SocketAddr> = addresses
            .iter()
            .map(|address| SocketAddr::new(address.parse().unwrap(), 80))
            .collect();
        check(&addresses, private, "http://a.example")
    }

    #[test]
    fn one_private_address_forbids_the_name() {
        assert_eq!(checked(&["1.1.1.1", "2606:4700::1111"], false), Ok(()));
        for address in [
            "127.0.0.1",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "fd00::1",
        ] {
            for addresses in [
                &["1.1.1.1", address] as &[_],
                &[address, "1.1.1.1"],
                &[address],
            ] {
                assert!(matches!(
                    checked(addresses, false),
                    Err(Failure::Forbidden(_))
                ));
                assert_eq!(checked(addresses, true), Ok(()));
            }
        }
        assert!(checked(&["1.1.1.1", "0.0.0.0"], true).is_err());
        assert!(checked(&["ff02::1"], true).is_err());
    }

    #[test]
    fn the_target_is_what_the_uri_says() {
        let target = |text: &str| Target::of(&text.parse().unwrap()).unwrap();
        let v6 = target("https://[::1]:8443");
        assert_eq!((v6.host.as_str(), v6.port, v6.tls), ("::1", 8443, true));
        let name = target("http://a.example");
        assert_eq!(
            (name.host.as_str(), name.port, name.tls),
            ("a.example", 80, false)
        );
    }
}
