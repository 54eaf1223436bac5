//! The handshake of a listener's connections.

use super::challenges::{ACME_TLS, Challenges};
use super::facts::Negotiated;
use super::failed::{Failed, Refused};
use super::names::Names;
use super::store::Offer;
use super::{
    Certificate, Certificates, ClientCertificate, Settings, SettingsError, TlsFacts, hello,
};
use crate::{Caps, Plain, Slot, Stream};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{Accepted, ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::io::AsyncWriteExt;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

/// What may wait to be sent on a connection, and a record's own limit (RFC 8446 §5.1): beyond it, writers
/// wait.
const SEND_BUFFER: usize = 16 * 1024;

/// `unrecognized_name` (RFC 6066 §3), before anything is encrypted.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What a listener's TLS is made of.
#[derive(Debug)]
pub struct Options {
    /// For clients that ask for no name, or for one that is not in `named`.
    pub settings: Settings,
    /// For single names and for patterns such as `*.example.com`, in lower case.
    pub named: Vec<(Box<str>, Settings)>,
    /// Where certificates come from. For a name that several have, the first counts.
    pub certificates: Vec<Arc<Certificates>>,
    /// Open challenges.
    pub challenges: Arc<Challenges>,
    /// How many handshakes may be under way at once: after their ClientHello, and until they are done.
    pub handshakes: usize,
    /// How many of them from one client address.
    pub handshakes_per_address: usize,
    /// The most bytes of a ClientHello.
    pub client_hello_bytes: usize,
    /// Refuse names that there is no certificate for, and clients that ask for none.
    pub refuse_unknown_names: bool,
    /// Answer requests for hosts that the connection's certificate does not cover.
    pub allow_mismatch: bool,
}

/// Makes TLS out of a listener's connections.
#[derive(Debug)]
pub struct Acceptor {
    names: Arc<Names>,
    offer: Arc<Offer>,
    challenges: Arc<Challenges>,
    challenge_config: Arc<ServerConfig>,
    handshakes: Caps,
    options: Options,
}

impl Acceptor {
    /// An acceptor. What stays the same as in `previous` goes on in it: tickets stay good, and handshakes
    /// under way count.
    ///
    /// # Errors
    /// Settings that cannot be spoken.
    pub fn new(options: Options, previous: Option<&Acceptor>) -> Result<Acceptor, SettingsError> {
        let handshakes = Acceptor::handshakes(&options, previous);
        let previous = previous.filter(|previous| {
            let (old, new) = (&previous.options.certificates, &options.certificates);
            old.len() == new.len() && old.iter().zip(new).all(|(a, b)| Arc::ptr_eq(a, b))
        });
        let offer = match previous {
            Some(previous) => previous.offer.clone(),
            None => Arc::new(Offer::new(options.certificates.clone())),
        };
        let build = |settings: &Settings| {
            if let Some(built) = previous.and_then(|previous| previous.names.built(settings)) {
                return Ok(built.clone());
            }
            let resolver = Arc::new(ByName(offer.clone()));
            settings.server_config(resolver).map(Arc::new)
        };
        let names = Names::new(&options.settings, &options.named, build)?;
        Ok(Acceptor {
            names: Arc::new(names),
            offer,
            challenge_config: challenge_config(&options.challenges)?,
            challenges: options.challenges.clone(),
            handshakes,
            options,
        })
    }

    /// The caps of `previous`, with those that are under way, where they are the same.
    fn handshakes(options: &Options, previous: Option<&Acceptor>) -> Caps {
        let caps = |of: &Options| (of.handshakes, of.handshakes_per_address);
        match previous.filter(|previous| caps(&previous.options) == caps(options)) {
            Some(previous) => previous.handshakes.clone(),
            None => Caps::new(options.handshakes, options.handshakes_per_address),
        }
    }

    /// Shake hands with this client, whose address may not be known. To be given up by whoever waits for it when it
    /// takes too long.
    ///
    /// Signing takes about a millisecond with an RSA key of 2048 bits, and a twentieth of that with the
    /// others; it is done where this is polled.
    ///
    /// # Errors
    /// A connection that is refused; it was told so, and is to be dropped.
    pub async fn accept(
        &self,
        mut plain: Plain,
        client: Option<IpAddr>,
    ) -> Result<(Stream, TlsFacts), Failed> {
        let accepted = hello::read(&mut plain, self.options.client_hello_bytes).await?;
        // Only now: a client that says nothing costs little, and takes no place from those who speak.
        let place = self.place(client)?;
        let hello = accepted.client_hello();
        let name: Option<Box<str>> = hello.server_name().map(|n| n.to_ascii_lowercase().into());
        // Boxed: while a connection waits for its ClientHello, it does without the room that the rest needs.
        let answered = Box::pin(self.answer(accepted, name.clone(), plain, place)).await;
        answered.map_err(|failed| failed.asked_for(name))
    }

    /// Take a place among the handshakes under way.
    fn place(&self, client: Option<IpAddr>) -> Result<Slot, Refused> {
        let mut place = self.handshakes.take().map_err(|_| Refused::Handshakes)?;
        if let Some(client) = client {
            let counted = place.count(client);
            counted.map_err(|_| Refused::HandshakesPerAddress)?;
        }
        Ok(place)
    }

    /// Answer a ClientHello. The place is given back when the handshake is over.
    async fn answer(
        &self,
        accepted: Accepted,
        name: Option<Box<str>>,
        mut plain: Plain,
        place: Slot,
    ) -> Result<(Stream, TlsFacts), Failed> {
        let alpn = accepted.client_hello().alpn();
        if alpn.is_some_and(|mut all| all.any(|one| one == ACME_TLS)) {
            return self
                .answer_challenge(accepted, plain, name.as_deref())
                .await;
        }
        let Some(certificate) = self.certificate(&accepted, name.as_deref()).await else {
            // That it cannot be told either is no news.
            let _ = plain.write_all(&UNRECOGNIZED_NAME).await;
            return Err(Refused::UnknownName.into());
        };
        let endpoint = self.names.endpoint(name.as_deref());
        let config = self.names.config(endpoint).clone();
        let shaken = StartHandshake::from_parts(accepted, plain)
            .into_stream_with(config, |tls| tls.set_buffer_limit(Some(SEND_BUFFER)))
            .into_fallible()
            .await;
        let tls = match shaken {
            Ok(tls) => tls,
            Err((error, mut plain)) => {
                drop(place);
                hello::linger(&mut plain).await;
                return Err(Failed::of(&error));
            }
        };
        let client = client(&tls)?;
        let Negotiated {
            version,
            cipher,
            alpn,
            resumed,
        } = Negotiated::of(tls.get_ref().1);
        let facts = TlsFacts {
            version,
            cipher,
            server_name: name,
            alpn,
            resumed,
            client,
            names: self.names.clone(),
            endpoint,
            certificate,
            allow_mismatch: self.options.allow_mismatch,
        };
        Ok((Stream::Tls(Box::new(tls)), facts))
    }

    /// Whether a client that has shaken hands earlier, perhaps before a reload, may still ask for this host (as
    /// for [`TlsFacts::may_ask_for`]): it may not where a certificate is asked for now that it has not shown.
    pub fn still_admits(&self, facts: &TlsFacts, host: &str) -> bool {
        let name = match host {
            "" => facts.server_name.as_deref(),
            host => Some(host),
        };
        let endpoint = self.names.endpoint(name);
        if Arc::ptr_eq(
            self.names.config(endpoint),
            facts.names.config(facts.endpoint),
        ) {
            return true;
        }
        let Some(clients) = &self.names.settings(endpoint).client_certificates else {
            return true;
        };
        match facts.client {
            None => !clients.required,
            Some(_) => facts.is_vouched_for_by(&clients.authorities),
        }
    }

    /// The certificate that the client is going to see; `None` refuses it.
    async fn certificate(&self, accepted: &Accepted, name: Option<&str>) -> Option<Certificate> {
        let fits = |one: &Certificate| one.signs(accepted.client_hello().signature_schemes());
        if let Some(name) = name {
            if self.offer.find(name, |_| true).is_none() {
                self.offer.obtain(name).await;
            }
            if let Some(found) = self.offer.find(name, fits) {
                return Some(found);
            }
        }
        if self.options.refuse_unknown_names {
            return None;
        }
        // With what the client cannot check, the engine refuses it and says why.
        let default = self.offer.default(fits);
        default.or_else(|| self.offer.default(|_| true))
    }

    /// Show an authority the certificate of its challenge; nothing is spoken on such a connection
    /// (RFC 8737 §3).
    async fn answer_challenge(
        &self,
        accepted: Accepted,
        mut plain: Plain,
        name: Option<&str>,
    ) -> Result<(Stream, TlsFacts), Failed> {
        if name.and_then(|name| self.challenges.get(name)).is_none() {
            let _ = plain.write_all(&UNRECOGNIZED_NAME).await;
            return Err(Refused::UnknownName.into());
        }
        let mut tls = StartHandshake::from_parts(accepted, plain)
            .into_stream(self.challenge_config.clone())
            .await
            .map_err(|error| Failed::of(&error))?;
        // The authority has seen what it wanted.
        let _ = tls.shutdown().await;
        Err(Refused::Challenge.into())
    }
}

fn challenge_config(challenges: &Arc<Challenges>) -> Result<Arc<ServerConfig>, SettingsError> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(SettingsError::Nothing)?
        .with_no_client_auth()
        .with_cert_resolver(challenges.clone());
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What the client has shown.
fn client(tls: &TlsStream<Plain>) -> Result<Option<ClientCertificate>, Failed> {
    let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let read = chain.first().map(ClientCertificate::read).transpose();
    let refused = || Failed::from(Refused::ClientCertificate);
    let client = read.map_err(|unreadable| refused().because(unreadable.to_string()))?;
    // A session that is resumed gets a new ticket each time, and the engine looks at the certificate only
    // when it begins: without this, it would outlive the certificate for ever.
    let is_over = |client: &ClientCertificate| client.expires < SystemTime::now();
    if client.as_ref().is_some_and(is_over) {
        return Err(
            refused().because("the certificate of the client's earlier session has expired")
        );
    }
    Ok(client)
}

/// Chooses the certificate once more, now that the engine knows which signatures fit to its suites.
#[derive(Debug)]
struct ByName(Arc<Offer>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |one: &Certificate| one.signs(hello.signature_schemes());
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let found = name.and_then(|name| self.0.find(&name, fits));
        let found = found.or_else(|| self.0.default(fits));
        // Where none fits there is no suite in common, and the engine says so if it is not stopped before.
        let found = found.or_else(|| self.0.default(|_| true))?;
        Some(found.key(SystemTime::now()).clone())
    }
}
