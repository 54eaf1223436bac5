//! Ask another server whether a request may pass.
//!
//! The server gets the request's head (and, where it is asked for, its body) and answers with a
//! status: 2xx lets the request pass, with fields of the answer for the upstream and the client; the
//! statuses in `deny` go to the client. Everything else decides nothing: the plugin fails, and its
//! failure policy has the word.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cache;
mod grant;
mod question;
mod size;
#[cfg(test)]
mod tests;

use std::time::Duration;

use cache::{Cache, RawCache};
use grant::{Field, Grant, picked};
use question::Pattern;
use size::Size;
use tidegate_sdk::FieldName;
use tidegate_sdk::http::Response as Answer;
use tidegate_sdk::prelude::*;

/// The most bytes of an answer's body.
const ANSWER_BYTES_MAX: u32 = 64 << 10;
/// Where fields for the client wait for the response.
const TO_RESPONSE: &str = "ext-auth.response";

/// Of a body whose type nobody says (RFC 9110 §8.3).
const OCTETS: &str = "application/octet-stream";

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who is asked.
    url: String,
    /// How.
    #[serde(default = "get")]
    method: String,
    /// Request fields that are sent.
    #[serde(default = "credentials")]
    send: Vec<Pattern>,
    /// The largest request body that is sent along; where absent, none is.
    send_body: Option<Size>,
    /// The most time until the answer is there.
    #[serde(default = "one_second", with = "humantime_serde")]
    timeout: Duration,
    /// Statuses that go to the client.
    #[serde(default = "unauthorized")]
    deny: Vec<u16>,
    /// Fields of an answer that allows, for the upstream.
    #[serde(default)]
    copy_to_request: Vec<FieldName>,
    /// Fields of an answer that allows, for the client.
    #[serde(default)]
    copy_to_response: Vec<FieldName>,
    /// Fields of an answer that denies, for the client.
    #[serde(default = "usual_on_deny")]
    copy_on_deny: Vec<FieldName>,
    /// Where to remember what is allowed.
    cache: Option<RawCache>,
}

/// The plugin.
pub struct ExtAuth {
    url: String,
    method: String,
    send: Vec<Pattern>,
    sends_body: bool,
    timeout: Duration,
    deny: Vec<u16>,
    copy_to_request: Vec<FieldName>,
    copy_to_response: Vec<FieldName>,
    copy_on_deny: Vec<FieldName>,
    cache: Option<Cache>,
}

#[plugin]
impl Plugin for ExtAuth {
    type Config = Config;

    fn configure(config: Config, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        check(&config)?;
        if let Some(Size(bytes)) = config.send_body {
            let buffered = interest.request_body(BodyMode::Buffer(bytes));
            buffered.map_err(|error| ConfigError::at("send_body", error.message))?;
        }
        let copied = [&config.copy_to_request, &config.copy_to_response];
        let prefix = format!("{} {} {copied:?}", config.method, config.url);
        let cache = config.cache.map(|cache| Cache::new(cache, prefix));
        Ok(Self {
            sends_body: config.send_body.is_some(),
            cache: cache.transpose()?,
            url: config.url,
            method: config.method,
            send: config.send,
            timeout: config.timeout,
            deny: config.deny,
            copy_to_request: config.copy_to_request,
            copy_to_response: config.copy_to_response,
            copy_on_deny: config.copy_on_deny,
        })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        if let Err(error) = self.remove_forged(request) {
            log::error!("the client's own fields cannot be removed: {error}");
            return Action::Fail;
        }
        // With a body, the question is asked when that is there.
        if self.sends_body {
            return Action::Proceed;
        }
        self.decide(request, None)
    }

    fn on_request_body(&self, body: &mut RequestBody) -> BodyAction {
        self.decide(&mut body.request, Some(&body.data)).into()
    }

    fn on_response(&self, response: &mut Response) -> Action {
        let Some(attributes::Value::Bytes(lines)) = attributes::get(TO_RESPONSE) else {
            return Action::Proceed;
        };
        let edited = response.edit(&grant::edits(grant::decode(&lines).unwrap_or_default()));
        // Another one of these in the route must not add them again.
        if let Err(error) = edited.and_then(|()| attributes::set(TO_RESPONSE, Vec::new())) {
            log::warn!("the response lacks fields of the answer: {error}");
        }
        Action::Proceed
    }
}

/// What is decided about a request.
enum Decision {
    Allowed(Grant),
    Denied(Reply),
}

impl ExtAuth {
    fn remove_forged(&self, request: &mut Request) -> Result<(), Error> {
        let mut edits = Edits::new();
        for name in &self.copy_to_request {
            edits.remove(name.as_str());
        }
        if edits.is_empty() {
            return Ok(());
        }
        request.edit(&edits)
    }

    fn decide(&self, request: &mut Request, body: Option<&[u8]>) -> Action {
        let Ok(question) = question::fields(&self.send, request) else {
            count("denied");
            let reply = Reply::new(431).text("the request's header fields are too large\n");
            return request.respond(reply);
        };
        let cache = self
            .cache
            .as_ref()
            .map(|cache| (cache, cache.key(request, &question)));
        let kept = cache.as_ref().and_then(|(cache, key)| cache.get(key));
        if let Some(grant) = kept {
            count("cached");
            return admit(request, grant);
        }
        match self.ask(request, question, body) {
            Ok(Decision::Allowed(grant)) => {
                if let Some((cache, key)) = &cache {
                    cache.remember(key, &grant);
                }
                count("allowed");
                admit(request, grant)
            }
            Ok(Decision::Denied(reply)) => {
                count("denied");
                request.respond(reply)
            }
            Err(why) => {
                count("failed");
                log::error!("it cannot be told who may enter: {why}");
                Action::Fail
            }
        }
    }

    fn ask(
        &self,
        request: &Request,
        question: Vec<Field>,
        body: Option<&[u8]>,
    ) -> Result<Decision, String> {
        let asked = http::Request::new(self.method.as_str(), self.url.as_str())
            .timeout(self.timeout)
            .limit(ANSWER_BYTES_MAX);
        let mut asked = question
            .into_iter()
            .fold(asked, |asked, (name, value)| asked.header(name, value));
        if let Some(body) = body.filter(|body| !body.is_empty()) {
            let kind = request.header("content-type");
            let kind = kind.as_ref().and_then(HeaderValue::as_str);
            asked = asked.body(kind.unwrap_or(OCTETS), body);
        }
        let answer = asked.send().map_err(|failure| failure.to_string())?;
        match answer.status {
            200..=299 => Ok(Decision::Allowed(Grant {
                to_request: picked(&answer, &self.copy_to_request),
                to_response: picked(&answer, &self.copy_to_response),
            })),
            status if self.deny.contains(&status) => Ok(Decision::Denied(self.denial(answer))),
            status => Err(format!("the answer is {status}")),
        }
    }

    fn denial(&self, answer: Answer) -> Reply {
        let mut reply = Reply::new(answer.status);
        for (name, value) in picked(&answer, &self.copy_on_deny) {
            reply = reply.header(name, value);
        }
        if answer.body.is_empty() {
            return reply;
        }
        let kind = answer.header("content-type").map(HeaderValue::text);
        let kind = kind.unwrap_or(OCTETS.into()).into_owned();
        reply.body(&kind, answer.body)
    }
}

fn admit(request: &mut Request, grant: Grant) -> Action {
    let mut admitted = request.edit(&grant::edits(grant.to_request));
    if !grant.to_response.is_empty() {
        let lines = grant::encode(&grant.to_response);
        admitted = admitted.and_then(|()| attributes::set(TO_RESPONSE, lines));
    }
    match admitted {
        Ok(()) => Action::Proceed,
        Err(error) => {
            log::error!("the answer's fields cannot be handed on: {error}");
            Action::Fail
        }
    }
}

fn check(config: &Config) -> Result<(), ConfigError> {
    let is_http = ["https://", "http://"]
        .iter()
        .any(|scheme| config.url.starts_with(scheme));
    if !is_http || config.url.contains('#') {
        let message = "expected a URL that begins with `https://` or `http://` and has no `#`";
        return Err(ConfigError::at("url", message));
    }
    let is_method =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_method(&config.method) || ["CONNECT", "TRACE"].contains(&config.method.as_str()) {
        return Err(ConfigError::at(
            "method",
            "expected a method such as `GET` or `POST`",
        ));
    }
    if config.timeout.is_zero() {
        return Err(ConfigError::at(
            "timeout",
            "is 0, expected `1s`, for example",
        ));
    }
    let denies = |status: &u16| (300..=599).contains(status) && *status != 304;
    if let Some(index) = config.deny.iter().position(|status| !denies(status)) {
        let message = "expected a status from 300 to 599 that may have a body";
        return Err(ConfigError::at(format!("deny.{index}"), message));
    }
    if config.cache.is_some() && config.send_body.is_some() {
        let message = "cannot be used with `send_body`: another body may have another answer";
        return Err(ConfigError::at("cache", message));
    }
    Ok(())
}

fn count(decision: &str) {
    if let Err(error) = metrics::count("decisions", &[("decision", decision)], 1) {
        log::debug!("metric decisions: {error}");
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn credentials() -> Vec<Pattern> {
    names(&["authorization", "cookie"])
        .map(Pattern::Name)
        .collect()
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn unauthorized() -> Vec<u16> {
    vec![401, 403]
}

fn usual_on_deny() -> Vec<FieldName> {
    let usual = [
        "www-authenticate",
        "location",
        "set-cookie",
        "cache-control",
        "retry-after",
    ];
    names(&usual).collect()
}

fn names(texts: &[&str]) -> impl Iterator<Item = FieldName> {
    texts
        .iter()
        .filter_map(|text| FieldName::try_from((*text).to_owned()).ok())
}
