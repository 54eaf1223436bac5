//! Refuse requests that are too large, too deep or of a kind that is not served.
//!
//! The head decides what it can, a `content-length` that is too large included. Only a body whose length
//! is not known, or whose JSON is looked at, is counted piece by piece as it streams.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod limit;
mod nesting;
mod size;
#[cfg(test)]
mod tests;

use limit::{Limit, Statuses};
use nesting::Nesting;
use size::Size;
use tidegate_sdk::prelude::*;

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Bytes of a body.
    max_body: Option<Size>,
    /// Bytes of path and query.
    max_uri: Option<Size>,
    /// Parameters in the query.
    max_query_parameters: Option<u64>,
    /// Header fields.
    max_headers: Option<u64>,
    /// Bytes of the names and values of all header fields.
    max_header_bytes: Option<Size>,
    /// Methods that are served.
    methods: Option<Vec<String>>,
    /// Types of bodies that are served: `application/json`, `image/*`.
    content_types: Option<Vec<String>>,
    /// Objects and arrays within each other, in a body of JSON.
    max_json_depth: Option<u64>,
    /// Bytes of a body of JSON.
    max_json: Option<Size>,
    /// What a client gets.
    #[serde(default)]
    status: Statuses,
}

/// The plugin.
pub struct RequestLimits {
    config: Config,
    /// The value of `allow`.
    allow: String,
}

/// A body, as far as it came.
#[derive(Default)]
pub struct Seen {
    about: Option<Body>,
    bytes: u64,
    nesting: Nesting,
}

#[plugin]
impl Plugin for RequestLimits {
    type Config = Config;
    type RequestBodyState = Seen;

    fn configure(mut config: Config, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        check(&config)?;
        for content_type in config.content_types.iter_mut().flatten() {
            content_type.make_ascii_lowercase();
        }
        if config.limits_bodies() {
            interest.request_body(BodyMode::Streaming)?;
        }
        let methods = config.methods.as_deref().unwrap_or_default();
        Ok(Self {
            allow: methods.join(", "),
            config,
        })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        let exceeded = self.head(request).or_else(|| self.headers(request));
        if let Some(limit) = exceeded {
            return request.respond(self.reply(limit));
        }
        if !self.config.limits_bodies() {
            return Action::Proceed;
        }
        let body = Body::of(request);
        if let Some(limit) = self
            .announced(&body)
            .or_else(|| self.content_type(request, &body))
        {
            return request.respond(self.reply(limit));
        }
        let looks_inside = body.is_json && self.config.max_json_depth.is_some();
        if body.length.is_some() && !looks_inside {
            // It will be as long as it says, or the proxy refuses it.
            return match request.skip_body() {
                Ok(()) => Action::Proceed,
                Err(_) => Action::Fail,
            };
        }
        Action::Proceed
    }

    fn on_request_body(&self, body: &mut RequestBody<Seen>) -> BodyAction {
        let Seen {
            about,
            bytes,
            nesting,
        } = &mut body.state;
        let about = about.get_or_insert_with(|| Body::of(&body.request));
        *bytes += body.data.len() as u64;
        let untyped = !about.has_type && *bytes > 0;
        let depth = self.config.max_json_depth.filter(|_| about.is_json);
        let exceeded = if untyped && self.config.content_types.is_some() {
            Limit::ContentType
        } else if self.max_body(about).is_some_and(|most| *bytes > most) {
            Limit::Body
        } else if depth.is_some_and(|most| nesting.exceeds(most, &body.data)) {
            Limit::Json
        } else {
            return BodyAction::Pass;
        };
        body.respond(self.reply(exceeded))
    }
}

/// What a head says of the body.
struct Body {
    length: Option<u64>,
    has_type: bool,
    /// Whether any of its types is JSON: upstreams differ in which one they take.
    is_json: bool,
    is_encoded: bool,
}

impl Body {
    fn of(request: &Request) -> Self {
        let length = request.header("content-length");
        let types = request.header_values("content-type");
        let coding = request.header("content-encoding");
        Self {
            length: length.and_then(|value| value.as_str()?.parse().ok()),
            has_type: !types.is_empty(),
            is_json: types.iter().any(|value| is_json(&essence(value))),
            is_encoded: coding.is_some_and(|value| !value.text().eq_ignore_ascii_case("identity")),
        }
    }
}

impl Config {
    fn limits_bodies(&self) -> bool {
        let sizes = self.max_body.is_some() || self.max_json.is_some();
        sizes || self.max_json_depth.is_some() || self.content_types.is_some()
    }
}

impl RequestLimits {
    /// What the method and the target exceed.
    fn head(&self, request: &Request) -> Option<Limit> {
        let config = &self.config;
        if let Some(methods) = &config.methods
            && !methods.contains(&request.method())
        {
            return Some(Limit::Method);
        }
        if config.max_uri.is_none() && config.max_query_parameters.is_none() {
            return None;
        }
        let query = request.query();
        if let Some(Size(most)) = config.max_uri {
            let mark_and_query = query.as_ref().map_or(0, |query| 1 + query.len());
            if (request.path().len() + mark_and_query) as u64 > most {
                return Some(Limit::Uri);
            }
        }
        let most = config.max_query_parameters?;
        let query = query.unwrap_or_default();
        let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
        (parameters.count() as u64 > most).then_some(Limit::Query)
    }

    /// What the header fields exceed.
    fn headers(&self, request: &Request) -> Option<Limit> {
        let (most, most_bytes) = (self.config.max_headers, self.config.max_header_bytes);
        if most.is_none() && most_bytes.is_none() {
            return None;
        }
        let (mut count, mut bytes) = (0, 0);
        for name in request.header_names() {
            for value in request.header_values(&name) {
                count += 1;
                bytes += (name.len() + value.as_bytes().len()) as u64;
            }
        }
        let too_many = most.is_some_and(|most| count > most);
        let too_large = most_bytes.is_some_and(|Size(most)| bytes > most);
        (too_many || too_large).then_some(Limit::Headers)
    }

    /// What a body exceeds by what the head says of it.
    fn announced(&self, body: &Body) -> Option<Limit> {
        if let (Some(length), Some(most)) = (body.length, self.max_body(body))
            && length > most
        {
            return Some(Limit::Body);
        }
        // Nobody sees how deep it is before the upstream does.
        if body.is_json && body.is_encoded && self.config.max_json_depth.is_some() {
            return Some(Limit::ContentType);
        }
        None
    }

    /// Every type that is there is served, and a body has one.
    fn content_type(&self, request: &Request, body: &Body) -> Option<Limit> {
        let served = self.config.content_types.as_ref()?;
        let is_served = |content_type: &HeaderValue| {
            let essence = essence(content_type);
            served.iter().any(|range| includes(range, &essence))
        };
        let types = request.header_values("content-type");
        let untyped = !body.has_type && body.length.is_some_and(|length| length > 0);
        (untyped || !types.iter().all(is_served)).then_some(Limit::ContentType)
    }

    fn max_body(&self, body: &Body) -> Option<u64> {
        let json = self.config.max_json.filter(|_| body.is_json);
        let limits = self.config.max_body.into_iter().chain(json);
        limits.map(|Size(bytes)| bytes).min()
    }

    fn reply(&self, limit: Limit) -> Reply {
        // Without the metric the request is refused all the same.
        metrics::count("refused", &[("limit", limit.name())], 1).ok();
        let reply = Reply::new(self.config.status.of(limit)).text(limit.text());
        match limit {
            // RFC 9110 §15.5.6 wants it.
            Limit::Method => reply.header("allow", self.allow.as_str()),
            _ => reply,
        }
    }
}

fn check(config: &Config) -> Result<(), ConfigError> {
    let heads = config.max_uri.is_some()
        || config.max_query_parameters.is_some()
        || config.max_headers.is_some()
        || config.max_header_bytes.is_some();
    if !heads && config.methods.is_none() && !config.limits_bodies() {
        return Err(ConfigError::at("", "expected at least one limit"));
    }
    config.status.check()?;
    check_list("methods", config.methods.as_deref(), "a method", is_token)?;
    let expected = "a media type such as `application/json` or `image/*`";
    check_list(
        "content_types",
        config.content_types.as_deref(),
        expected,
        |text| {
            let parts = text.split_once('/');
            parts.is_some_and(|(kind, subtype)| kind != "*" && is_token(kind) && is_token(subtype))
        },
    )
}

fn check_list(
    key: &str,
    list: Option<&[String]>,
    expected: &str,
    fits: fn(&str) -> bool,
) -> Result<(), ConfigError> {
    let Some(list) = list else { return Ok(()) };
    if list.is_empty() {
        return Err(ConfigError::at(
            key,
            format!("is empty, expected {expected}"),
        ));
    }
    match list.iter().position(|text| !fits(text)) {
        Some(index) => {
            let place = format!("{key}.{index}");
            Err(ConfigError::at(place, format!("expected {expected}")))
        }
        None => Ok(()),
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// A media type without parameters, in lower case.
fn essence(content_type: &HeaderValue) -> String {
    let text = content_type.text();
    let (essence, _) = text.split_once(';').unwrap_or((&text, ""));
    essence.trim().to_ascii_lowercase()
}

/// Whether a media type is `image/png`, or in `image/*`.
fn includes(range: &str, essence: &str) -> bool {
    match range.strip_suffix('*') {
        Some(kind) => essence.starts_with(kind),
        None => essence == range,
    }
}

fn is_json(essence: &str) -> bool {
    essence.ends_with("/json") || essence.ends_with("+json")
}
