//! Answer cross-origin requests as the Fetch standard asks (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! The request phase answers preflights; the response phase replaces what the upstream says of CORS by
//! what the configuration says. Whether an origin is allowed depends on the request alone, so nothing
//! is kept between the two.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod origin;
#[cfg(test)]
mod tests;

use origin::OriginPattern;
use tidegate_sdk::prelude::*;

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose scripts may read responses.
    origins: Vec<OriginPattern>,
    /// Methods that they may use; `*` for all.
    #[serde(default = "simple_methods")]
    methods: Vec<String>,
    /// Request fields that they may set; `*` for all.
    #[serde(default)]
    headers: Vec<String>,
    /// Response fields that they may read; `*` for all.
    #[serde(default)]
    expose: Vec<String>,
    /// Whether they may send cookies and other credentials.
    #[serde(default)]
    credentials: bool,
    /// How long a browser may keep the answer to a preflight.
    max_age: Option<String>,
    /// Whether public sites may ask this one in a private network.
    #[serde(default)]
    private_network: bool,
    /// What the preflight of an origin that is not allowed gets.
    #[serde(default)]
    disallowed: Disallowed,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Disallowed {
    /// 204 without the fields that allow.
    #[default]
    NoFields,
    /// 403.
    Refuse,
}

/// The plugin.
pub struct Cors {
    origins: Vec<OriginPattern>,
    methods: List,
    headers: List,
    expose: Option<String>,
    credentials: bool,
    max_age: Option<String>,
    private_network: bool,
    disallowed: Disallowed,
}

/// Names that are allowed, as a field's value.
enum List {
    /// `None` where there are no names.
    Names(Option<String>),
    /// Whatever the preflight asks for: where credentials are allowed, `*` is no wildcard.
    Asked,
}

/// The fields that say what an origin may do; only this plugin sets them.
const FIELDS: [&str; 7] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-allow-private-network",
    "access-control-expose-headers",
    "access-control-max-age",
];

/// What the answer to a preflight depends on.
const PREFLIGHT_VARY: &str =
    "origin, access-control-request-method, access-control-request-headers";

#[plugin]
impl Plugin for Cors {
    type Config = Config;

    fn configure(config: Config, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        if config.origins.is_empty() {
            return Err(
                ConfigError::at("origins", "is empty, expected at least one origin").into(),
            );
        }
        let credentials = config.credentials;
        let any = config
            .origins
            .iter()
            .position(|origin| *origin == OriginPattern::Any);
        if let Some(index) = any.filter(|_| credentials) {
            let message = "with `credentials` any site could act for the user, list the origins";
            return Err(ConfigError::at(format!("origins.{index}"), message).into());
        }
        let expose = names("expose", &config.expose)?;
        if let Some(index) = config
            .expose
            .iter()
            .position(|name| name == "*" && credentials)
        {
            let message = "is no wildcard with `credentials`, list the fields";
            return Err(ConfigError::at(format!("expose.{index}"), message).into());
        }
        Ok(Self {
            methods: List::new("methods", &config.methods, credentials)?,
            headers: List::new("headers", &config.headers, credentials)?,
            max_age: config.max_age.as_deref().map(seconds).transpose()?,
            origins: config.origins,
            expose,
            credentials,
            private_network: config.private_network,
            disallowed: config.disallowed,
        })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        // A preflight, by the standard; other OPTIONS are the upstream's.
        if request.method() != "OPTIONS" {
            return Action::Proceed;
        }
        let Some(method) = request.header("access-control-request-method") else {
            return Action::Proceed;
        };
        let Some(origin) = request.header("origin") else {
            return Action::Proceed;
        };
        let reply = self.preflight(request, &origin, &method);
        request.respond(reply)
    }

    fn on_response(&self, response: &mut Response) -> Action {
        let mut edits = Edits::new();
        for name in FIELDS {
            edits.remove(name);
        }
        let origin = response.request().header("origin");
        if let Some(allowed) = origin.as_ref().and_then(|origin| self.allowed(origin)) {
            for (name, value) in self.sharing(allowed) {
                edits.set(name, value);
            }
            if let Some(names) = &self.expose {
                edits.set("access-control-expose-headers", names.as_str());
            }
        }
        // Of a request without `origin` too: a cache would give its response to other ones.
        if self.varies() && !varies_by_origin(response) {
            edits.append("vary", "origin");
        }
        match response.edit(&edits) {
            Ok(()) => Action::Proceed,
            // No room in the head. The policy decides; the origin's own fields may not stay.
            Err(_) => Action::Fail,
        }
    }
}

impl Cors {
    fn preflight(&self, request: &Request, origin: &HeaderValue, method: &HeaderValue) -> Reply {
        let Some(allowed) = self.allowed(origin) else {
            return match self.disallowed {
                Disallowed::NoFields => Reply::new(204),
                Disallowed::Refuse => Reply::new(403).text("the origin is not allowed\n"),
            }
            .header("vary", PREFLIGHT_VARY);
        };
        let mut reply = Reply::new(204).header("vary", PREFLIGHT_VARY);
        for (name, value) in self.sharing(allowed) {
            reply = reply.header(name, value);
        }
        if let Some(methods) = self.methods.allow(Some(method)) {
            reply = reply.header("access-control-allow-methods", methods);
        }
        let asked = request.header("access-control-request-headers");
        if let Some(headers) = self.headers.allow(asked.as_ref()) {
            reply = reply.header("access-control-allow-headers", headers);
        }
        if let Some(seconds) = &self.max_age {
            reply = reply.header("access-control-max-age", seconds.as_str());
        }
        let private = request.header("access-control-request-private-network");
        if self.private_network && private.is_some_and(|value| value == "true") {
            reply = reply.header("access-control-allow-private-network", "true");
        }
        reply
    }

    /// The value of `access-control-allow-origin`, where the origin is allowed.
    fn allowed<'a>(&self, origin: &'a HeaderValue) -> Option<&'a str> {
        let origin = origin.as_str()?;
        if !self.varies() {
            return Some("*");
        }
        let mut patterns = self.origins.iter();
        patterns
            .any(|pattern| pattern.allows(origin))
            .then_some(origin)
    }

    /// Whether the response depends on who asks.
    fn varies(&self) -> bool {
        !self.origins.contains(&OriginPattern::Any)
    }

    /// The fields that each response to an allowed origin has.
    fn sharing<'a>(&self, origin: &'a str) -> impl Iterator<Item = (&'static str, &'a str)> {
        let credentials = self
            .credentials
            .then_some(("access-control-allow-credentials", "true"));
        [("access-control-allow-origin", origin)]
            .into_iter()
            .chain(credentials)
    }
}

impl List {
    fn new(key: &str, list: &[String], credentials: bool) -> Result<Self, ConfigError> {
        let names = names(key, list)?;
        match credentials && list.iter().any(|name| name == "*") {
            true => Ok(Self::Asked),
            false => Ok(Self::Names(names)),
        }
    }

    fn allow(&self, asked: Option<&HeaderValue>) -> Option<String> {
        match self {
            Self::Names(names) => names.clone(),
            Self::Asked => {
                let asked = asked?.as_str()?;
                let mut names = asked.split(',').map(str::trim);
                names.all(is_token).then(|| asked.to_owned())
            }
        }
    }
}

/// A list as a field's value; `None` where it is empty.
fn names(key: &str, list: &[String]) -> Result<Option<String>, ConfigError> {
    if let Some(index) = list.iter().position(|name| !is_token(name)) {
        let message = match key {
            "methods" => "is not a method",
            _ => "is not the name of a header field",
        };
        return Err(ConfigError::at(format!("{key}.{index}"), message));
    }
    Ok((!list.is_empty()).then(|| list.join(", ")))
}

/// RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}

fn seconds(text: &str) -> Result<String, ConfigError> {
    match humantime::parse_duration(text) {
        Ok(time) => Ok(time.as_secs().to_string()),
        Err(_) => {
            let message = format!("`{text}` is not a time, expected one such as `10m` or `1h`");
            Err(ConfigError::at("max_age", message))
        }
    }
}

fn varies_by_origin(response: &Response) -> bool {
    let vary = response.header("vary");
    let vary = vary.as_ref().map(HeaderValue::text).unwrap_or_default();
    let mut names = vary.split(',').map(str::trim);
    names.any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
}

/// The methods that need no preflight.
fn simple_methods() -> Vec<String> {
    ["GET", "HEAD", "POST"].map(str::to_owned).into()
}
