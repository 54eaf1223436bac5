//! TLS with a client, where the listener has it; and what is told of it to plugins and upstreams.

use crate::Metrics;
use crate::throttle::Throttle;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use std::net::IpAddr;
use tidegate_chain::Value;
use tidegate_listen::tls::{Acceptor, Failed, Forward, Refused, TlsFacts};
use tidegate_listen::{Plain, Stream};
use tokio::time::{Instant, timeout_at};

/// The most bytes of a field with the certificates that vouch for a client's: a client chooses how many it
/// sends.
const CHAIN_MAX: usize = 16 * 1024;

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
const SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const SAN: HeaderName = HeaderName::from_static("x-client-cert-san");
const FINGERPRINT: HeaderName = HeaderName::from_static("x-client-cert-fingerprint");

/// What upstreams are told of a client's certificate: of those that are told, each field and its value, if
/// there is one.
pub(crate) type ClientFields = Vec<(HeaderName, Option<HeaderValue>)>;

/// Shake hands with this client until the deadline, and count how it ends.
pub(crate) async fn run(
    plain: Plain,
    client: Option<IpAddr>,
    acceptor: &Acceptor,
    deadline: Instant,
    listener: &str,
    metrics: &Metrics,
) -> Option<(Stream, TlsFacts)> {
    // Boxed: what a handshake needs is given back, while its connection goes on.
    let shaken = timeout_at(deadline, Box::pin(acceptor.accept(plain, client))).await;
    match shaken.unwrap_or(Err(Refused::Timeout.into())) {
        Ok((stream, facts)) => {
            metrics.handshake(listener, facts.version, facts.resumed);
            Some((stream, facts))
        }
        Err(failed) => {
            if let Some(reason) = reason(failed.refused) {
                metrics.refused(listener, reason);
                tell(&failed, client, listener);
            }
            None
        }
    }
}

/// Anybody can cause such lines.
static FAILURES: Throttle = Throttle::new();

/// Tell whoever runs the listener which client could not be served, and why.
fn tell(failed: &Failed, client: Option<IpAddr>, listener: &str) {
    let Some(left_out) = FAILURES.pass() else {
        return;
    };
    let client = client.map(tracing::field::display);
    let server_name = failed.server_name.as_deref();
    let cause = failed.cause.as_deref();
    let refused = failed.refused;
    tracing::info!(
        listener,
        client,
        server_name,
        cause,
        left_out,
        "no TLS with a client: {refused}"
    );
}

/// The reason in metrics; nobody refused a client that went away, or one that has what it came for.
fn reason(refused: Refused) -> Option<&'static str> {
    Some(match refused {
        Refused::Handshakes => "handshakes",
        Refused::HandshakesPerAddress => "handshakes-per-address",
        Refused::Timeout => "handshake-timeout",
        Refused::ClientHello => "client-hello",
        Refused::Plaintext => "plaintext",
        Refused::UnknownName => "unknown-name",
        Refused::ApplicationProtocol => "application-protocol",
        Refused::ClientCertificate => "client-certificate",
        Refused::Tls => "tls",
        Refused::Gone | Refused::Challenge => return None,
    })
}

/// The attributes of a connection with TLS.
pub(crate) fn attributes(facts: &TlsFacts) -> Vec<(Box<str>, Value)> {
    let text = |name: &str, value: &str| (name.into(), Value::Text(value.to_owned()));
    let mut attributes = vec![
        text("tls.version", facts.version),
        text("tls.cipher", facts.cipher),
        ("tls.resumed".into(), Value::Boolean(facts.resumed)),
    ];
    attributes.extend(
        facts
            .server_name
            .as_deref()
            .map(|name| text("tls.server-name", name)),
    );
    attributes.extend(facts.alpn.map(|alpn| text("tls.alpn", alpn.as_str())));
    if let Some(client) = &facts.client {
        attributes.push(text("tls.client.subject", &client.subject));
        attributes.push(text("tls.client.san", &client.san));
        attributes.push(text("tls.client.fingerprint", &client.fingerprint));
    }
    attributes
}

/// What upstreams are told of the client's certificate.
pub(crate) fn client_fields(stream: &Stream, facts: &TlsFacts) -> ClientFields {
    let client = facts.client.as_ref();
    let chain = stream.client_chain();
    let text = |value: &str| HeaderValue::from_str(value).ok();
    let Forward {
        subject,
        san,
        fingerprint,
        certificate,
    } = facts.forward();
    let mut fields = Vec::new();
    if subject {
        fields.push((SUBJECT, client.and_then(|client| text(&client.subject))));
    }
    if san {
        fields.push((SAN, client.and_then(|client| text(&client.san))));
    }
    if fingerprint {
        fields.push((
            FINGERPRINT,
            client.and_then(|client| text(&client.fingerprint)),
        ));
    }
    if certificate {
        let (own, others) = chain.split_at(chain.len().min(1));
        fields.push((CLIENT_CERT, byte_sequences(own)));
        fields.push((CLIENT_CERT_CHAIN, byte_sequences(others)));
    }
    fields
}

/// A list of byte sequences (RFC 8941 §3.3.5), as RFC 9440 §2 asks for.
fn byte_sequences(certificates: &[impl AsRef<[u8]>]) -> Option<HeaderValue> {
    let mut value = String::new();
    for certificate in certificates {
        if !value.is_empty() {
            value.push_str(", ");
        }
        value.push(':');
        STANDARD.encode_string(certificate, &mut value);
        value.push(':');
        if value.len() > CHAIN_MAX {
            return None;
        }
    }
    HeaderValue::try_from(value)
        .ok()
        .filter(|value| !value.is_empty())
}
