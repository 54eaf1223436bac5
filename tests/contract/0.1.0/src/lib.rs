//! Calls every function of the contract 0.1.0 and shows what came of it in the fields `x-…` of the
//! request and the response, for `tests/plugin/contract.rs`.

#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_sdk::bindings::host::tidegate::plugin::{log as levels, response};
use tidegate_sdk::limiter::{Bucket, Scope};
use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What the plugin calls itself.
    name: String,
}

struct EveryFunction {
    name: String,
}

#[plugin]
impl Plugin for EveryFunction {
    type Config = Settings;

    fn configure(config: Settings, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        if config.name.is_empty() {
            return Err(ConfigError::at("name", "is empty, expected a name").into());
        }
        interest.methods(["GET"])?;
        interest.paths(["/every/*"])?;
        interest.headers(["x-in"])?;
        Ok(Self { name: config.name })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        match request.query().as_deref() {
            Some("fail") => return Action::Fail,
            Some("respond") => return request.respond(self.reply()),
            _ => {}
        }
        read(request);
        edit(request);
        refused(request);
        request.set_header("x-attributes", keep(&self.name)).ok();
        request.set_header("x-limiter", take()).ok();
        request.set_header("x-clock", clocks()).ok();
        request.set_header("x-log", enabled()).ok();
        log::info!("{} saw {}", self.name, request.path());
        count();
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        if response.request().query().as_deref() == Some("replace") {
            return response.respond(self.reply());
        }
        read_response(response);
        edit_response(response);
        Action::Proceed
    }
}

impl EveryFunction {
    fn reply(&self) -> Reply {
        Reply::new(418)
            .header("x-name", self.name.as_str())
            .text("a reply\n")
    }
}

/// The head, as the contract shows it.
fn read(request: &mut Request) {
    let head = [
        request.method(),
        request.scheme(),
        request.host(),
        request.path(),
        request.query().unwrap_or_default(),
    ];
    request.set_header("x-head", head.join(" ")).ok();
    let values = request.header_values("x-in").len();
    let named = times(&request.header_names(), "x-in");
    let fields = format!("{values} {named}");
    request.set_header("x-fields", fields).ok();
    if let Some(joined) = request.header("x-in") {
        request.set_header("x-joined", joined).ok();
    }
}

/// Each kind of edit, alone and several in one call.
fn edit(request: &mut Request) {
    request.remove_header("x-unwanted").ok();
    request.append_header("x-appended", "1").ok();
    request.append_header("x-appended", "2").ok();
    let mut edits = Edits::new();
    edits
        .set("x-edited", "old")
        .set("x-edited", "a")
        .append("x-edited", "b")
        .remove("x-unedited");
    request.edit(&edits).ok();
}

/// What the host refuses, and the reason: one for each that a plugin can bring about in this phase.
fn refused(request: &mut Request) {
    let huge = vec![b'x'; 1 << 20];
    let bucket = Bucket::new(1, Duration::from_secs(1), 1);
    let reasons = [
        response::status().err(),
        request.set_header("a b", "1").err(),
        request.set_header("x-a", "1\n2").err(),
        limiter::take(Scope::Plugin, b"refused", &bucket, 2).err(),
        request.set_header("content-length", "1").err(),
        request.set_header("x-huge", huge).err(),
    ]
    .map(|error| error.map_or("none", |error| error.name()));
    request.set_header("x-refused", reasons.join(" ")).ok();
}

/// A value of each type: set, and got back.
fn keep(name: &str) -> String {
    attributes::set("every.text", name).ok();
    attributes::set("every.integer", -7_i64).ok();
    attributes::set("every.boolean", true).ok();
    attributes::set("every.bytes", b"\xff".to_vec()).ok();
    let types = ["text", "integer", "boolean", "bytes"];
    let kept = types.map(|kind| match attributes::get(&format!("every.{kind}")) {
        Some(attributes::Value::Text(text)) => text,
        Some(attributes::Value::Integer(number)) => number.to_string(),
        Some(attributes::Value::Boolean(truth)) => truth.to_string(),
        Some(attributes::Value::Bytes(bytes)) => bytes.escape_ascii().to_string(),
        None => "none".to_owned(),
    });
    kept.join(" ")
}

/// A bucket with two tokens is empty after the second: whether a token was taken, how many are left, and
/// whether there is a time to wait.
fn take() -> String {
    let bucket = Bucket::new(1, Duration::from_secs(3600), 2);
    let taken =
        [Scope::Route, Scope::Plugin, Scope::Plugin, Scope::Plugin].map(
            |scope| match limiter::take(scope, b"every", &bucket, 1) {
                Ok(outcome) => format!(
                    "{} {} {} {}",
                    outcome.allowed,
                    outcome.remaining,
                    outcome.full_after.is_zero(),
                    outcome.retry_after.is_zero(),
                ),
                Err(error) => error.name().to_owned(),
            },
        );
    taken.join("; ")
}

/// Whether the time is of this century, and whether the other clock goes forward.
fn clocks() -> String {
    const YEAR_2020: Duration = Duration::from_secs(1_577_836_800);
    let before = clock::monotonic();
    let present = clock::now() > YEAR_2020;
    format!("{present} {}", clock::monotonic() >= before)
}

fn count() {
    metrics::count("requests", &[("kind", "every")], 2).ok();
    metrics::gauge("level", &[], 1.5).ok();
    metrics::observe("wait_seconds", &[], 0.25).ok();
}

/// Which levels of the log are kept.
fn enabled() -> String {
    use log::Level::{Debug, Error, Info, Trace, Warn};
    [Trace, Debug, Info, Warn, Error]
        .map(|level| levels::enabled(level).to_string())
        .join(" ")
}

/// The head of the response, and what the other phase kept.
fn read_response(response: &mut Response) {
    let status = response.status();
    let values = response.header_values("x-in").len();
    let named = times(&response.header_names(), "x-in");
    let kept = attributes::text("every.integer").unwrap_or_default();
    let head = format!("{status} {values} {named} {kept}");
    response.set_header("x-head", head).ok();
    if let Some(joined) = response.header("x-in") {
        response.set_header("x-joined", joined).ok();
    }
}

fn times(names: &[String], name: &str) -> usize {
    names.iter().filter(|one| *one == name).count()
}

fn edit_response(response: &mut Response) {
    response.set_status(203).ok();
    response.remove_header("x-unwanted").ok();
    response.append_header("x-appended", "1").ok();
    response.append_header("x-appended", "2").ok();
    let mut edits = Edits::new();
    edits
        .set("x-edited", "a")
        .append("x-edited", "b")
        .remove("x-unedited");
    response.edit(&edits).ok();
}
