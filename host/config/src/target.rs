//! The target of a route: `upstream`, `respond` or `redirect`.

use crate::keyed::Keyed;
use crate::located::{Located, Span};
use crate::names::Section;
use crate::resolve::Resolver;
use crate::whole::Whole;
use http::header::{self, HeaderName, HeaderValue};
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Deserialize;

/// Who answers a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// The upstream of this name, which exists.
    Upstream(String),
    /// The proxy, with a fixed response.
    Respond(Respond),
    /// The proxy, with the request as an upstream would have seen it.
    Echo,
    /// The proxy, sending the client elsewhere.
    Redirect(Redirect),
}

/// A fixed response.
#[derive(Debug, Clone, PartialEq)]
pub struct Respond {
    /// 200 to 599.
    pub status: StatusCode,
    /// Sent as it is; empty where the status forbids a body.
    pub body: String,
    /// Without those that belong to the connection or to the framing of the body.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// A redirection.
#[derive(Debug, Clone, PartialEq)]
pub struct Redirect {
    /// The `Location` field: a URL or an absolute path.
    pub to: HeaderValue,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// The keys of a route, of which one must be given.
pub(crate) struct RawTarget {
    pub(crate) upstream: Option<Located<String>>,
    pub(crate) respond: Option<Located<RawRespond>>,
    pub(crate) redirect: Option<Located<RawRedirect>>,
}

impl RawTarget {
    /// `None` where something was wrong.
    pub(crate) fn resolve(self, route: Span, resolver: &mut Resolver) -> Option<Target> {
        match (self.upstream, self.respond, self.redirect) {
            (Some(upstream), None, None) => resolver
                .refer(Section::Upstream, upstream)
                .map(Target::Upstream),
            (None, Some(respond), None) => respond.value.resolve(resolver),
            (None, None, Some(redirect)) => redirect.value.resolve(resolver),
            (None, None, None) => {
                resolver.reject(
                    route,
                    "the route has no target",
                    "add one of `upstream = \"NAME\"`, `respond = { … }` or `redirect = { … }`",
                );
                None
            }
            (upstream, respond, redirect) => {
                let given = [
                    upstream.map(|key| ("upstream", key.span)),
                    respond.map(|key| ("respond", key.span)),
                    redirect.map(|key| ("redirect", key.span)),
                ];
                let mut given: Vec<_> = given.into_iter().flatten().collect();
                given.sort_by_key(|(_, span)| span.start);
                let names: Vec<_> = given.iter().map(|(name, _)| format!("`{name}`")).collect();
                resolver.reject(
                    given.last().map_or(route, |(_, span)| *span),
                    format!("the route has more than one target: {}", names.join(", ")),
                    "keep one of them",
                );
                None
            }
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRespond {
    /// 200 to 599. Without it, 200.
    #[schemars(with = "Option<Whole<200, 599>>", example = 200)]
    status: Option<Located<u16>>,
    /// The body.
    #[schemars(example = &"hello\n")]
    body: Option<Located<String>>,
    /// Header fields.
    #[schemars(example = serde_json::json!({ "content-type": "text/plain" }))]
    headers: Option<Keyed<Located<String>>>,
    /// Instead of the three above: answer with the request as an upstream would have seen it, as JSON.
    #[schemars(example = true)]
    echo: Option<Located<bool>>,
}

impl RawRespond {
    fn resolve(self, resolver: &mut Resolver) -> Option<Target> {
        if let Some(echo) = self.echo.as_ref().filter(|echo| echo.value) {
            if self.status.is_some() || self.body.is_some() || self.headers.is_some() {
                resolver.reject(
                    echo.span,
                    "`echo` makes the whole response itself",
                    "remove `status`, `body` and `headers`, or `echo`",
                );
            }
            return Some(Target::Echo);
        }
        let status = match self.status {
            None => StatusCode::OK,
            Some(status) => resolve_status(status, resolver)?,
        };
        if let Some(body) = self.body.as_ref().filter(|body| !body.value.is_empty())
            && BODILESS.contains(&status)
        {
            resolver.reject(
                body.span,
                format!("a response with status {} has no body", status.as_u16()),
                "remove `body`, or choose another status",
            );
        }
        let headers = self.headers.unwrap_or_default().0;
        Some(Target::Respond(Respond {
            status,
            body: self.body.map(|body| body.value).unwrap_or_default(),
            headers: headers
                .into_iter()
                .filter_map(|(name, value)| resolve_header(name, value, resolver))
                .collect(),
        }))
    }
}

fn resolve_status(status: Located<u16>, resolver: &mut Resolver) -> Option<StatusCode> {
    let code = StatusCode::from_u16(status.value)
        .ok()
        .filter(|code| (200..=599).contains(&code.as_u16()));
    if code.is_none() {
        resolver.reject(
            status.span,
            format!("`{}` cannot be the status of a response", status.value),
            "expected a whole number from 200 to 599",
        );
    }
    code
}

fn resolve_header(
    name: Located<String>,
    value: Located<String>,
    resolver: &mut Resolver,
) -> Option<(HeaderName, HeaderValue)> {
    let Ok(field) = HeaderName::from_bytes(name.value.as_bytes()) else {
        resolver.reject(
            name.span,
            format!("`{}` cannot be the name of a header field", name.value),
            "expected letters, digits and any of !#$%&'*+-.^_`|~ (RFC 9110 §5.6.2)",
        );
        return None;
    };
    if OURS.contains(&field) {
        resolver.reject(
            name.span,
            format!("`{field}` is set by the proxy itself"),
            "remove it",
        );
    }
    let Ok(text) = HeaderValue::from_str(&value.value) else {
        resolver.reject(
            value.span,
            format!("this cannot be the value of `{field}`"),
            "expected visible ASCII characters, spaces and tabs (RFC 9110 §5.5)",
        );
        return None;
    };
    Some((field, text))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRedirect {
    /// Where to: a URL, or a path of the same host.
    #[schemars(example = &"https://www.example.com/")]
    to: Located<String>,
    /// 301, 302, 303, 307 or 308. Without it, 308, which lasts and keeps method and body.
    #[schemars(with = "Option<Whole<301, 308>>", example = 308)]
    status: Option<Located<u16>>,
}

impl RawRedirect {
    fn resolve(self, resolver: &mut Resolver) -> Option<Target> {
        let status = self
            .status
            .map_or(Ok(StatusCode::PERMANENT_REDIRECT), |status| {
                match status.value {
                    301 | 302 | 303 | 307 | 308 => {
                        StatusCode::from_u16(status.value).map_err(|_| status)
                    }
                    _ => Err(status),
                }
            });
        if let Err(status) = &status {
            resolver.reject(
                status.span,
                format!("`{}` is not a status that redirects", status.value),
                "expected one of 301, 302, 303, 307, 308",
            );
        }
        let location = Some(&self.to.value)
            .filter(|to| {
                ["https://", "http://", "/"]
                    .iter()
                    .any(|start| to.starts_with(start))
            })
            .filter(|to| to.parse::<Uri>().is_ok())
            .and_then(|to| HeaderValue::from_str(to).ok());
        if location.is_none() {
            resolver.reject(
                self.to.span,
                format!("cannot redirect to `{}`", self.to.value),
                "expected a URL such as \"https://www.example.com/\", or a path such as \"/new\"",
            );
        }
        Some(Target::Redirect(Redirect {
            to: location?,
            status: status.ok()?,
        }))
    }
}

/// Statuses whose responses have no content (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
const BODILESS: [StatusCode; 3] = [
    StatusCode::NO_CONTENT,
    StatusCode::RESET_CONTENT,
    StatusCode::NOT_MODIFIED,
];

/// Fields of the framing and of the connection (RFC 9110 §7.6.1, RFC 9112 §6).
const OURS: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
