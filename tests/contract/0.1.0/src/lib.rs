//! Calls every function of the contract 0.1.0 and shows what came of it in the fields `x-…` of the
//! request and the response, for `tests/plugin/contract.rs`.
//!
//! On bare bindings of `wit/` beside it: what is tested is the contract, as a plugin without the SDK
//! sees it.

use std::sync::OnceLock;

use bindings::exports::tidegate::plugin::{configuration, on_request_head, on_response_head};
use bindings::tidegate::plugin::attributes::{self, Value};
use bindings::tidegate::plugin::limiter::{self, Bucket, Scope};
use bindings::tidegate::plugin::log::{self, Level};
use bindings::tidegate::plugin::types::{Action, ConfigError, Edit, Error};
use bindings::tidegate::plugin::{clock, interest, metrics, reply, request, response};

#[allow(unsafe_code, missing_docs, clippy::all)]
mod bindings {
    use super::EveryFunction;

    wit_bindgen::generate!({ path: "wit", world: "plugin" });
    export!(EveryFunction with_types_in self);
}

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;
const YEAR_2020: u64 = 1_577_836_800 * SECOND;

struct EveryFunction;

/// What the plugin calls itself, from its configuration.
static NAME: OnceLock<String> = OnceLock::new();

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    name: String,
}

impl configuration::Guest for EveryFunction {
    fn configure(config: String) -> Result<(), Vec<ConfigError>> {
        let settings: Settings =
            serde_json::from_str(&config).map_err(|error| mistake("", &error.to_string()))?;
        if settings.name.is_empty() {
            return Err(mistake("name", "is empty, expected a name"));
        }
        NAME.set(settings.name)
            .map_err(|_| mistake("", "was configured already"))?;
        narrow().map_err(|error| mistake("", error.name()))
    }
}

fn mistake(path: &str, message: &str) -> Vec<ConfigError> {
    let (path, message) = (path.to_owned(), message.to_owned());
    vec![ConfigError { path, message }]
}

fn narrow() -> Result<(), Error> {
    interest::methods(&["GET".to_owned()])?;
    interest::paths(&["/every/*".to_owned()])?;
    interest::headers(&["x-in".to_owned()])
}

impl on_request_head::Guest for EveryFunction {
    fn handle() -> Action {
        match request::query().as_deref() {
            Some("fail") => Action::Fail,
            Some("respond") => respond(),
            _ => {
                show_request();
                Action::Proceed
            }
        }
    }
}

impl on_response_head::Guest for EveryFunction {
    fn handle() -> Action {
        if request::query().as_deref() == Some("replace") {
            return respond();
        }
        show_response();
        Action::Proceed
    }
}

fn name() -> &'static str {
    NAME.get().map_or("", String::as_str)
}

fn respond() -> Action {
    let fields = [("x-name".to_owned(), name().into())];
    match reply::set(418, &fields, b"a reply\n") {
        Ok(()) => Action::Respond,
        Err(_) => Action::Fail,
    }
}

fn show_request() {
    read_request();
    edit_request();
    show("x-refused", refused());
    show("x-attributes", keep());
    show("x-limiter", take());
    show("x-clock", clocks());
    show("x-log", enabled());
    let line = format!("{} saw {}", name(), request::path());
    log::write(Level::Info, &line);
    count();
}

/// Show something in a field of the request; the test misses what was refused.
fn show(name: &str, text: String) {
    request::set_header(name, text.as_bytes()).ok();
}

/// The head, as the contract shows it.
fn read_request() {
    let head = [
        request::method(),
        request::scheme(),
        request::host(),
        request::path(),
        request::query().unwrap_or_default(),
    ];
    show("x-head", head.join(" "));
    let values = request::header_values("x-in").len();
    let named = times(&request::header_names(), "x-in");
    show("x-fields", format!("{values} {named}"));
    if let Some(joined) = request::header("x-in") {
        request::set_header("x-joined", &joined).ok();
    }
}

/// Each kind of edit, alone and several in one call.
fn edit_request() {
    request::remove_header("x-unwanted").ok();
    request::append_header("x-appended", b"1").ok();
    request::append_header("x-appended", b"2").ok();
    request::edit_headers(&edits()).ok();
}

fn edits() -> [Edit; 4] {
    let field = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    [
        Edit::Set(field("x-edited", b"old")),
        Edit::Set(field("x-edited", b"a")),
        Edit::Append(field("x-edited", b"b")),
        Edit::Remove("x-unedited".to_owned()),
    ]
}

/// What the host refuses, and the reason: one for each that a plugin can bring about in this phase.
fn refused() -> String {
    let huge = vec![b'x'; 1 << 20];
    let bucket = Bucket {
        tokens: 1,
        period: SECOND,
        burst: 1,
    };
    let reasons = [
        response::status().err(),
        request::set_header("a b", b"1").err(),
        request::set_header("x-a", b"1\n2").err(),
        limiter::take(Scope::Plugin, b"refused", bucket, 2).err(),
        request::set_header("content-length", b"1").err(),
        request::set_header("x-huge", &huge).err(),
    ];
    reasons
        .map(|error| error.map_or("none", |error| error.name()))
        .join(" ")
}

/// A value of each type: set, and got back.
fn keep() -> String {
    let values = [
        ("every.text", Value::Text(name().to_owned())),
        ("every.integer", Value::Integer(-7)),
        ("every.boolean", Value::Boolean(true)),
        ("every.bytes", Value::Bytes(b"\xff".to_vec())),
    ];
    let kept = values.map(|(name, value)| {
        attributes::set(name, &value).ok();
        match attributes::get(name) {
            Some(Value::Text(text)) => text,
            Some(Value::Integer(number)) => number.to_string(),
            Some(Value::Boolean(truth)) => truth.to_string(),
            Some(Value::Bytes(bytes)) => bytes.escape_ascii().to_string(),
            None => "none".to_owned(),
        }
    });
    kept.join(" ")
}

/// A bucket with two tokens is empty after the second: whether a token was taken, how many are left, and
/// whether there is a time to wait.
fn take() -> String {
    let bucket = Bucket {
        tokens: 1,
        period: HOUR,
        burst: 2,
    };
    let scopes = [Scope::Route, Scope::Plugin, Scope::Plugin, Scope::Plugin];
    let taken = scopes.map(|scope| match limiter::take(scope, b"every", bucket, 1) {
        Ok(outcome) => format!(
            "{} {} {} {}",
            outcome.allowed,
            outcome.remaining,
            outcome.full_after == 0,
            outcome.retry_after == 0,
        ),
        Err(error) => error.name().to_owned(),
    });
    taken.join("; ")
}

/// Whether the time is of this century, and whether the other clock goes forward.
fn clocks() -> String {
    let before = clock::monotonic();
    let present = clock::now() > YEAR_2020;
    format!("{present} {}", clock::monotonic() >= before)
}

/// Which levels of the log are kept.
fn enabled() -> String {
    use Level::{Debug, Error, Info, Trace, Warn};
    [Trace, Debug, Info, Warn, Error]
        .map(|level| log::enabled(level).to_string())
        .join(" ")
}

fn count() {
    let label = ("kind".to_owned(), "every".to_owned());
    metrics::count("requests", &[label], 2).ok();
    metrics::gauge("level", &[], 1.5).ok();
    metrics::observe("wait_seconds", &[], 0.25).ok();
}

/// The head of the response, and what the other phase kept.
fn show_response() {
    let status = response::status().unwrap_or_default();
    let values = response::header_values("x-in").unwrap_or_default().len();
    let named = times(&response::header_names().unwrap_or_default(), "x-in");
    let kept = attributes::get_text("every.integer").unwrap_or_default();
    let head = format!("{status} {values} {named} {kept}");
    response::set_header("x-head", head.as_bytes()).ok();
    if let Ok(Some(joined)) = response::header("x-in") {
        response::set_header("x-joined", &joined).ok();
    }
    response::set_status(203).ok();
    response::remove_header("x-unwanted").ok();
    response::append_header("x-appended", b"1").ok();
    response::append_header("x-appended", b"2").ok();
    response::edit_headers(&edits()).ok();
}

fn times(names: &[String], name: &str) -> usize {
    names.iter().filter(|one| *one == name).count()
}
