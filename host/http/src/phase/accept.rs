//! The head is there: refuse what is not safe to forward, bring host and path to one form, set the
//! connection's deadlines.

use crate::abuse::Refusal;
use crate::client;
use crate::context::Context;
use crate::hop_by_hop;
use crate::state::{Limits, RequestLimits};
use crate::tunnel::is_extended_connect;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Method, StatusCode, Version, header};
use pingora::Error;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use std::borrow::Cow;
use std::sync::Arc;

/// Check and normalise.
///
/// # Errors
/// A request that is refused; [`super::failure`] answers it.
pub fn run(session: &mut ServerSession, context: &mut Context) -> pingora::Result<()> {
    if context.is_handed_over {
        return Ok(());
    }
    if let Some(connection) = &context.connection {
        connection.clock.head_is_read();
        let (connection, peer) = (connection.clone(), connection.peer);
        let facts = context.facts_mut();
        facts.listener = connection.listener.clone();
        facts.peer = peer.map(|peer| peer.ip());
        facts.connection = connection.attributes.clone();
        if connection.tls.is_some() {
            facts.scheme = "https";
        }
    }
    if let Some(clock) = &context.body_clock
        && (session.is_body_done() || is_extended_connect(session.req_header()))
    {
        // Nobody says so later: what is not there does not pass.
        clock.passed(true);
    }
    set_deadlines(session, &context.state.limits);
    identify(session.req_header_mut(), context);
    let checked = check(session.req_header_mut(), context);
    checked.map_err(|refused| refused.end(context))
}

fn set_deadlines(session: &mut ServerSession, limits: &Limits) {
    session.set_read_timeout(Some(limits.read_timeout));
    session.set_write_timeout(Some(limits.write_timeout));
    // Of a body that is not read when its response is whole: the connection ends instead.
    session.set_total_drain_timeout(Some(limits.read_timeout));
}

/// Find out for whom the request is, and give it an id.
fn identify(head: &mut RequestHeader, context: &mut Context) {
    let Context {
        connection,
        state,
        facts,
        ..
    } = context;
    let facts = Arc::make_mut(facts);
    let sender = connection.as_ref().and_then(|c| c.client);
    let listener = connection.as_ref();
    let listener = listener.and_then(|c| state.sockets.listener(&c.socket));
    let trusted = listener.map_or(&[][..], |l| &l.trusted_proxies);
    if client::is_trusted(sender, trusted) {
        let field = listener.map(|l| l.client_address).unwrap_or_default();
        client::trust(head, field);
        let said = client::said(sender, &head.headers, trusted, field);
        facts.client = said.client;
        said.pass_on(head);
    } else {
        client::distrust(head);
        facts.client = sender;
    }
    let given = head.headers.get("x-request-id");
    let given = given.and_then(|id| id.to_str().ok());
    facts.request_id = match given.filter(|id| is_request_id(id)) {
        Some(id) => id.into(),
        None => format!("{:032x}", fastrand::u128(..)).into(),
    };
    facts.protocol = match head.version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    };
}

/// Ids are written into logs and fields: printable and not too long.
fn is_request_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=')
        })
}

/// A request that goes no further.
pub(super) struct Refused {
    status: StatusCode,
    reason: Refusal,
    text: &'static str,
}

impl Refused {
    /// Count it; the error gets the answer.
    pub(super) fn end(self, context: &mut Context) -> Box<Error> {
        context.count_refused(self.reason);
        super::failure::refuse(context, self.status, self.text)
    }
}

const fn refused(status: StatusCode, reason: Refusal, text: &'static str) -> Refused {
    Refused {
        status,
        reason,
        text,
    }
}

const fn bad(reason: Refusal, text: &'static str) -> Refused {
    refused(StatusCode::BAD_REQUEST, reason, text)
}

fn check(head: &mut RequestHeader, context: &mut Context) -> Result<(), Refused> {
    if head.method == Method::CONNECT {
        // To be asked for a connection to anywhere is for forward proxies.
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(refused(status, Refusal::Method, "CONNECT is not served"));
    }
    check_size(head, context.limits())?;
    check_framing(head)?;
    if head.version == Version::HTTP_2 {
        join_cookies(head)?;
    }
    hop_by_hop::remove_named(head).map_err(|text| bad(Refusal::Malformed, text))?;
    if !is_path_or_url(head.raw_path()) {
        return Err(bad(Refusal::Target, "the request target is not valid"));
    }
    context.facts_mut().host = host(head)?;
    check_connection(context)?;
    // HTTP/2 and the absolute form name the host in the target. From here on it is a field, for
    // plugins and the upstream alike.
    if let Some(authority) = head.uri.authority().map(|a| a.as_str().to_owned()) {
        head.insert_header(header::HOST, authority)
            .map_err(|_| bad(Refusal::Host, "the host is not valid"))?;
    }
    if !head.raw_path_is_utf8() {
        return Err(bad(Refusal::Target, "the path is not valid"));
    }
    let path = tidegate_route::normalize_path(head.uri.path())
        .map_err(|_| bad(Refusal::Target, "the path is not valid"))?;
    // Also without a change in the path: the target may have come in absolute form.
    let changed = matches!(path, Cow::Owned(_)) || head.uri.authority().is_some();
    if changed || head.raw_path().first() != Some(&b'/') {
        let target = match head.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.into_owned(),
        };
        let target = PathAndQuery::try_from(target)
            .map_err(|_| bad(Refusal::Target, "the path is not valid"))?;
        head.set_uri(Uri::from(target));
    }
    Ok(())
}

/// Whether the host may be asked for on this connection: the name that TLS began with may have other
/// settings, and another certificate; and since then, a reload may have asked for a certificate of the client,
/// or for TLS.
fn check_connection(context: &Context) -> Result<(), Refused> {
    let connection = context.connection.as_ref();
    let began = connection.and_then(|connection| connection.tls.as_ref());
    let now = context.listener().and_then(|now| now.tls.as_ref());
    let host = &*context.facts.host;
    let may = match (began, now) {
        (Some(tls), Some(now)) => tls.may_ask_for(host) && now.still_admits(tls, host),
        (Some(tls), None) => tls.may_ask_for(host),
        (None, now) => now.is_none(),
    };
    if may {
        return Ok(());
    }
    let text = "the host is not served on this connection";
    let status = StatusCode::MISDIRECTED_REQUEST;
    Err(refused(status, Refusal::Misdirected, text))
}

/// Refuse a head that is larger than is allowed.
pub(super) fn check_size(head: &RequestHeader, limits: &RequestLimits) -> Result<(), Refused> {
    if head.raw_path().len() > limits.uri_bytes {
        let (status, text) = (StatusCode::URI_TOO_LONG, "request target too long");
        return Err(refused(status, Refusal::UriBytes, text));
    }
    let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    if head.headers.len() > limits.head.count {
        let text = "too many header fields";
        return Err(refused(too_large, Refusal::HeaderCount, text));
    }
    // As they stand in HTTP/1.1: `name: value` and a line end, and the request line.
    let fields = head.headers.iter();
    let bytes: usize = fields.map(|(n, v)| n.as_str().len() + v.len() + 4).sum();
    let line = head.method.as_str().len() + head.raw_path().len() + " HTTP/1.1\r\n ".len();
    if bytes + line > limits.head.bytes {
        let text = "header fields too large";
        return Err(refused(too_large, Refusal::HeaderBytes, text));
    }
    Ok(())
}

/// Whether the body's end is beyond doubt, for us and for whoever reads the request next. Bodies are
/// framed by one `chunked` (any other coding would have to be undone, which we do not: RFC 9112 §6.1
/// asks for 501 then) or by one length in digits (a list of equal ones may be refused, §6.3).
fn check_framing(head: &RequestHeader) -> Result<(), Refused> {
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !codings.next().is_none_or(chunked) || codings.next().is_some() {
        let text = "transfer coding not supported";
        return Err(refused(StatusCode::NOT_IMPLEMENTED, Refusal::Framing, text));
    }
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let digits = |length: &HeaderValue| length.as_bytes().iter().all(u8::is_ascii_digit);
    if !lengths.next().is_none_or(digits) || lengths.next().is_some() {
        return Err(bad(Refusal::Framing, "the content-length is not valid"));
    }
    Ok(())
}

/// HTTP/2 may have cookies in several fields, whoever else reads them expects one (RFC 9113 §8.2.3).
fn join_cookies(head: &mut RequestHeader) -> Result<(), Refused> {
    let mut cookies = head.headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else {
        return Ok(());
    };
    let parts = [first, second].into_iter().chain(cookies);
    let parts: Vec<&[u8]> = parts.map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&parts.join(&b"; "[..]));
    let joined = joined.map_err(|_| bad(Refusal::Malformed, "the cookies are not valid"))?;
    head.insert_header(header::COOKIE, joined)
        .map_err(|_| bad(Refusal::Malformed, "the cookies are not valid"))
}

/// A target is a path, or a URL whose authority was compared with the host when it was read.
fn is_path_or_url(target: &[u8]) -> bool {
    let scheme = |scheme: &[u8]| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    target.first() == Some(&b'/') || scheme(b"http://") || scheme(b"https://")
}

/// The host asked for. HTTP/1.1 requires the field (RFC 9112 §3.2); HTTP/2 has a pseudo-field, which
/// must agree with it.
fn host(head: &RequestHeader) -> Result<Box<str>, Refused> {
    let mut fields = head.headers.get_all(header::HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(bad(Refusal::Host, "more than one host"));
    }
    let field = field
        .map(|value| {
            value
                .to_str()
                .map_err(|_| bad(Refusal::Host, "the host is not valid"))
        })
        .transpose()?;
    let authority = head.uri.authority().map(|authority| authority.as_str());
    let parse =
        |text| tidegate_route::host(text).map_err(|_| bad(Refusal::Host, "the host is not valid"));
    let host = match (authority, field) {
        (Some(authority), Some(field)) => {
            let host = parse(authority)?;
            if host != parse(field)? {
                return Err(bad(Refusal::Host, "the host and the authority differ"));
            }
            host
        }
        (Some(text), None) | (None, Some(text)) => parse(text)?,
        (None, None) if head.version == Version::HTTP_10 => Cow::Borrowed(""),
        (None, None) => return Err(bad(Refusal::Host, "no host")),
    };
    Ok(host.into())
}
