//! The interface `http-client`, with answers that the test wrote.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::super::Host;
use super::super::call::{Current, with};
use super::super::phase::Phase;
use crate::Reply;
use crate::bindings::host::tidegate::plugin::http_client::{Request, Response};
use crate::field_name::check;
use crate::http::{BODY_LIMIT, Failure};

/// A request that the plugin sent to another server.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The header fields.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// The timeout that the plugin asked for.
    pub timeout: Option<Duration>,
}

impl HttpRequest {
    /// A field's first value as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let mut fields = self.headers.iter();
        let field = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
        field.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

type Answer = Result<Reply, Failure>;

/// What other servers answer, and what they were asked.
#[derive(Default)]
pub(in crate::testing) struct Servers {
    answers: BTreeMap<String, VecDeque<Answer>>,
    requests: Vec<HttpRequest>,
    /// Calls of the present phase; handles go on counting.
    calls: BTreeMap<u32, Call>,
    next_call: u32,
}

enum Call {
    /// The request's body follows.
    Sending(HttpRequest),
    /// What is left of the response's body.
    Receiving(Option<Vec<u8>>),
}

impl Host {
    /// What a server answers to requests for this URL, whose origin is thereby granted:
    /// `allow = { http = […] }`. Several answers come one after the other, the last one again and
    /// again. Another URL of a granted origin is [`Failure::Unreachable`].
    pub fn add_http_answer(&mut self, url: &str, answer: Reply) {
        self.http.add(url, Ok(answer));
    }

    /// The same, with a failure in the place of an answer.
    pub fn add_http_failure(&mut self, url: &str, failure: Failure) {
        self.http.add(url, Err(failure));
    }

    /// The requests that the plugin sent, oldest first.
    pub fn http_requests(&self) -> &[HttpRequest] {
        &self.http.requests
    }
}

impl Servers {
    fn add(&mut self, url: &str, answer: Answer) {
        let answers = self.answers.entry(url.to_owned()).or_default();
        answers.push_back(answer);
    }

    /// Calls end with the phase that began them.
    pub(in crate::testing) fn end_calls(&mut self) {
        self.calls.clear();
    }

    /// What can be said before anything is sent.
    fn check(&self, request: &Request) -> Result<(), Failure> {
        let wanted = origin(&request.url).ok_or(Failure::InvalidRequest)?;
        let mut fields = request.headers.iter();
        if request.method.is_empty() || fields.any(|(n, value)| check(n, value).is_err()) {
            return Err(Failure::InvalidRequest);
        }
        let mut granted = self.answers.keys().filter_map(|url| origin(url));
        if granted.any(|granted| granted.eq_ignore_ascii_case(wanted)) {
            Ok(())
        } else {
            Err(Failure::Forbidden)
        }
    }

    fn answer(&mut self, request: HttpRequest) -> Answer {
        let answers = self.answers.get_mut(&request.url);
        self.requests.push(request);
        let answers = answers.ok_or(Failure::Unreachable)?;
        let answer = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        answer.ok_or(Failure::Unreachable)?
    }
}

pub(crate) fn send(
    request: &Request,
    body: &[u8],
    limit: u32,
) -> Result<(Response, Vec<u8>), Failure> {
    with(|current| {
        let servers = allowed(current)?;
        servers.check(request)?;
        let reply = servers.answer(sent(request, body))?;
        let limit = usize::try_from(limit.min(BODY_LIMIT)).unwrap_or(usize::MAX);
        if reply.body.len() > limit {
            return Err(Failure::TooLarge);
        }
        Ok((head(&reply), reply.body))
    })
}

pub(crate) fn begin(request: &Request) -> Result<u32, Failure> {
    with(|current| {
        let servers = allowed(current)?;
        servers.check(request)?;
        let id = servers.next_call;
        servers.next_call = id.wrapping_add(1);
        servers.calls.insert(id, Call::Sending(sent(request, b"")));
        Ok(id)
    })
}

pub(crate) fn write(call: u32, data: &[u8]) -> Result<(), Failure> {
    with(|current| match current.host.http.calls.get_mut(&call) {
        Some(Call::Sending(request)) => {
            request.body.extend_from_slice(data);
            Ok(())
        }
        Some(Call::Receiving(_)) | None => Err(Failure::Closed),
    })
}

pub(crate) fn finish(call: u32) -> Result<Response, Failure> {
    with(|current| {
        let servers = &mut current.host.http;
        let Some(Call::Sending(request)) = servers.calls.remove(&call) else {
            return Err(Failure::Closed);
        };
        let reply = servers.answer(request)?;
        let head = head(&reply);
        let body = Some(reply.body).filter(|body| !body.is_empty());
        servers.calls.insert(call, Call::Receiving(body));
        Ok(head)
    })
}

/// The whole body is one piece.
pub(crate) fn read(call: u32) -> Result<Option<Vec<u8>>, Failure> {
    with(|current| match current.host.http.calls.get_mut(&call) {
        Some(Call::Receiving(rest)) => Ok(rest.take()),
        Some(Call::Sending(_)) | None => Err(Failure::Closed),
    })
}

pub(crate) fn close(call: u32) {
    with(|current| current.host.http.calls.remove(&call));
}

fn allowed(current: &mut Current) -> Result<&mut Servers, Failure> {
    if current.is(Phase::Configure) {
        return Err(Failure::WrongPhase);
    }
    Ok(&mut current.host.http)
}

fn sent(request: &Request, body: &[u8]) -> HttpRequest {
    HttpRequest {
        method: request.method.clone(),
        url: request.url.clone(),
        headers: request.headers.clone(),
        body: body.to_vec(),
        timeout: request.timeout.map(Duration::from_nanos),
    }
}

fn head(reply: &Reply) -> Response {
    Response {
        status: reply.status,
        headers: reply.headers.clone(),
    }
}

/// Scheme and authority (RFC 3986 §3.2) of an absolute HTTP URL.
fn origin(url: &str) -> Option<&str> {
    let authority = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let length = authority.find(['/', '?', '#']).unwrap_or(authority.len());
    let (authority, rest) = authority.split_at(length);
    let plain = url.chars().all(|c| c.is_ascii_graphic());
    if authority.is_empty() || authority.contains('@') || rest.contains('#') || !plain {
        return None;
    }
    url.get(..url.len() - rest.len())
}
