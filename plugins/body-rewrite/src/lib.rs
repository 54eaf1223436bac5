//! Replace text in bodies and redact fields of JSON, as they stream.
//!
//! The head decides, by `content-type` and `content-encoding`, whether a body is looked at; others are
//! skipped, and their length stays known. Of a body that is looked at the plugin holds only what a
//! match may still need. JSON is redacted first, then text is replaced.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod media;
mod path;
mod redact;
mod replace;
#[cfg(test)]
mod tests;

use media::{MediaRange, is_json};
use path::Redaction;
use redact::{Malformed, Redactor};
use replace::{Replacement, Replacements};
use tidegate_sdk::prelude::*;

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which bodies are rewritten.
    #[serde(default = "response")]
    bodies: Vec<Direction>,
    /// Text to replace, in bodies of `content_types`.
    #[serde(default)]
    replace: Vec<Replacement>,
    /// The types of bodies in which text is replaced.
    #[serde(default = "text_types")]
    content_types: Vec<MediaRange>,
    /// Paths of values to redact, in bodies of JSON.
    #[serde(default)]
    redact: Vec<String>,
    /// The value in the place of one that is redacted.
    #[serde(default = "redacted")]
    redacted: serde_json::Value,
    /// What happens to a body that should be redacted and cannot be read.
    #[serde(default)]
    unreadable: Unreadable,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Direction {
    Request,
    Response,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Unreadable {
    /// It goes on as it is.
    #[default]
    Pass,
    /// The plugin fails.
    Fail,
}

/// The plugin.
pub struct BodyRewrite {
    bodies: Vec<Direction>,
    replacements: Option<Replacements>,
    content_types: Vec<MediaRange>,
    redaction: Option<Redaction>,
    unreadable: Unreadable,
}

/// One body on its way: `None` before its first piece.
#[derive(Default)]
pub struct Rewriting(Option<Stages>);

/// What is done to a body, in this order.
struct Stages {
    redactor: Option<Redactor>,
    /// What replacing holds back.
    held: Option<Vec<u8>>,
}

/// What the head says of the body.
enum Plan {
    Skip,
    Rewrite,
    Fail,
}

#[plugin]
impl Plugin for BodyRewrite {
    type Config = Config;
    type RequestBodyState = Rewriting;
    type ResponseBodyState = Rewriting;

    fn configure(config: Config, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        if config.replace.is_empty() && config.redact.is_empty() {
            return Err(ConfigError::at("", "expected `replace` or `redact`").into());
        }
        if config.bodies.is_empty() {
            let message = "is empty, expected `request`, `response` or both";
            return Err(ConfigError::at("bodies", message).into());
        }
        let plugin = Self {
            replacements: Replacements::new(config.replace)?,
            redaction: Redaction::new(&config.redact, &config.redacted)?,
            bodies: config.bodies,
            content_types: config.content_types,
            unreadable: config.unreadable,
        };
        if plugin.rewrites(Direction::Request) {
            interest.request_body(BodyMode::Streaming)?;
        }
        if plugin.rewrites(Direction::Response) {
            interest.response_body(BodyMode::Streaming)?;
        }
        Ok(plugin)
    }

    fn on_request(&self, request: &mut Request) -> Action {
        let mut edits = Edits::new();
        if self.rewrites(Direction::Response) {
            // Without the field any coding would be welcome (RFC 9110 §12.5.3). A part of a body
            // cannot be rewritten, its borders would be in what it was cut from.
            edits.set("accept-encoding", "identity");
            edits.remove("range").remove("if-range");
        }
        if self.rewrites(Direction::Request) {
            match self.plan(|name| request.header(name)) {
                Plan::Fail => return Action::Fail,
                Plan::Skip => {
                    if let Err(error) = request.skip_body() {
                        return failed(error);
                    }
                }
                Plan::Rewrite => remove_digests(&mut edits),
            }
        }
        request
            .edit(&edits)
            .map_or_else(failed, |()| Action::Proceed)
    }

    fn on_request_body(&self, body: &mut RequestBody<Rewriting>) -> BodyAction {
        let stages = body.state.0.get_or_insert_with(|| {
            let content_type = body.request.header("content-type");
            self.stages(content_type)
        });
        self.rewrite(stages, &body.data, body.end)
    }

    fn on_response(&self, response: &mut Response) -> Action {
        if !self.rewrites(Direction::Response) {
            return Action::Proceed;
        }
        let mut edits = Edits::new();
        // What a 304 revalidates was weakened when it passed.
        let mut plan = match response.status() {
            304 => Plan::Rewrite,
            _ => self.plan(|name| response.header(name)),
        };
        if response.status() == 206 && !matches!(plan, Plan::Skip) {
            plan = self.unreadable("a part of a body");
        }
        match plan {
            Plan::Fail => return Action::Fail,
            Plan::Skip => {
                return response
                    .skip_body()
                    .map_or_else(failed, |()| Action::Proceed);
            }
            Plan::Rewrite => {
                remove_digests(&mut edits);
                edits.remove("accept-ranges");
                if let Some(tag) = response.header("etag").filter(is_strong) {
                    edits.set("etag", [b"W/", tag.as_bytes()].concat());
                }
            }
        }
        response
            .edit(&edits)
            .map_or_else(failed, |()| Action::Proceed)
    }

    fn on_response_body(&self, body: &mut ResponseBody<Rewriting>) -> BodyAction {
        let stages = body.state.0.get_or_insert_with(|| {
            let content_type = body.response.header("content-type");
            self.stages(content_type)
        });
        self.rewrite(stages, &body.data, body.end)
    }
}

impl BodyRewrite {
    fn rewrites(&self, direction: Direction) -> bool {
        self.bodies.contains(&direction)
    }

    fn replaces_in(&self, content_type: &str) -> bool {
        let mut ranges = self.content_types.iter();
        self.replacements.is_some() && ranges.any(|range| range.includes(content_type))
    }

    fn redacts_in(&self, content_type: &str) -> bool {
        self.redaction.is_some() && is_json(content_type)
    }

    /// What to do with the body of a message with these fields.
    fn plan(&self, field: impl Fn(&str) -> Option<HeaderValue>) -> Plan {
        let Some(content_type) = field("content-type") else {
            return Plan::Skip;
        };
        let content_type = content_type.text();
        let redacts = self.redacts_in(&content_type);
        if !redacts && !self.replaces_in(&content_type) {
            return Plan::Skip;
        }
        let coded = field("content-encoding")
            .is_some_and(|coding| !coding.text().eq_ignore_ascii_case("identity"));
        match (coded, redacts) {
            (false, _) => Plan::Rewrite,
            (true, true) => self.unreadable("an encoded body"),
            (true, false) => Plan::Skip,
        }
    }

    /// A body that should be redacted, and cannot be.
    fn unreadable(&self, what: &str) -> Plan {
        if self.redaction.is_none() {
            return Plan::Skip;
        }
        count_unreadable();
        match self.unreadable {
            Unreadable::Pass => {
                log::warn!("{what} passes without redaction");
                Plan::Skip
            }
            Unreadable::Fail => {
                log::error!("{what} cannot be redacted");
                Plan::Fail
            }
        }
    }

    fn stages(&self, content_type: Option<HeaderValue>) -> Stages {
        let content_type = content_type.as_ref().map(HeaderValue::text);
        let content_type = content_type.as_deref().unwrap_or_default();
        Stages {
            redactor: self.redacts_in(content_type).then(Redactor::default),
            held: self.replaces_in(content_type).then(Vec::new),
        }
    }

    fn rewrite(&self, stages: &mut Stages, data: &[u8], end: bool) -> BodyAction {
        let Ok(redacted) = self.redact(stages, data, end) else {
            return BodyAction::Fail;
        };
        match (&self.replacements, &mut stages.held) {
            (Some(replacements), Some(held)) => {
                BodyAction::replace(replacements.apply(held, &redacted, end))
            }
            _ => BodyAction::replace(redacted),
        }
    }

    /// What is left of the data, or an error where the plugin is to fail.
    fn redact(&self, stages: &mut Stages, data: &[u8], end: bool) -> Result<Vec<u8>, Malformed> {
        let (Some(redaction), Some(redactor)) = (&self.redaction, &mut stages.redactor) else {
            return Ok(data.to_vec());
        };
        let mut out = Vec::new();
        let (malformed, rest) = match redactor.push(redaction, data, &mut out) {
            Err(error) => error,
            Ok(()) if end => match redactor.finish() {
                Ok(()) => return Ok(out),
                Err(malformed) => (malformed, &[][..]),
            },
            Ok(()) => return Ok(out),
        };
        count_unreadable();
        let Malformed(at) = malformed;
        // Where a value with a mistake in it ends nobody knows, so nothing after it may pass.
        if self.unreadable == Unreadable::Fail || redactor.is_hiding() && !rest.is_empty() {
            log::error!("a body is not JSON at byte {at}, and is cut off");
            return Err(malformed);
        }
        log::warn!("a body is not JSON at byte {at}, and passes from there without redaction");
        out.extend_from_slice(rest);
        stages.redactor = None;
        Ok(out)
    }
}

/// Digests of what will be another body (RFC 9530 and its predecessors).
fn remove_digests(edits: &mut Edits) {
    for name in ["content-md5", "digest", "content-digest", "repr-digest"] {
        edits.remove(name);
    }
}

/// Whether an entity tag promises the same bytes (RFC 9110 §8.8.1).
fn is_strong(tag: &HeaderValue) -> bool {
    !tag.as_bytes().starts_with(b"W/")
}

fn failed(error: Error) -> Action {
    log::error!("the proxy refused an edit: {error}");
    Action::Fail
}

fn count_unreadable() {
    if let Err(error) = metrics::count("unreadable", &[], 1) {
        log::debug!("metric refused: {error}");
    }
}

fn response() -> Vec<Direction> {
    vec![Direction::Response]
}

fn redacted() -> serde_json::Value {
    "[redacted]".into()
}

fn text_types() -> Vec<MediaRange> {
    let types = [
        "text/html",
        "text/plain",
        "text/css",
        "text/javascript",
        "text/xml",
        "application/javascript",
        "application/json",
        "application/*+json",
        "application/xml",
        "application/*+xml",
    ];
    types
        .into_iter()
        .filter_map(|text| MediaRange::try_from(text.to_owned()).ok())
        .collect()
}
