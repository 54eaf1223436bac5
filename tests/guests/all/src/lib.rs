//! Uses every capability that has to be granted. Answers with the outcome of the call that the field `x-call`
//! describes in JSON, or, without it, of a call of each that needs no name. `x-group` is the group of
//! peers to ask; what came of that is the field `x-chosen` of the request.

#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_sdk::crypto::Hash;
use tidegate_sdk::limiter::{Scope, Window};
use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct All {}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Call {
    /// A store.
    Kv(String),
    Secret(String),
    /// A URL.
    Http(String),
    /// So many random bytes.
    Random(u32),
}

#[plugin]
impl Plugin for All {
    fn on_request(&self, request: &mut Request) -> Action {
        if request.header("x-group").is_some() {
            return Action::Proceed;
        }
        let said = match request.header("x-call") {
            None => nameless(),
            Some(call) => match serde_json::from_slice(call.as_bytes()) {
                Ok(call) => named(call).unwrap_or_else(str::to_owned),
                Err(error) => error.to_string(),
            },
        };
        request.respond(Reply::new(200).text(said))
    }

    fn on_upstream_choice(&self, request: &mut Request, upstream: &mut Upstream) -> Action {
        if let Some(group) = request.header("x-group") {
            let chosen = upstream.choose_group(&group.text());
            let said = chosen.map_or_else(|error| error.name(), |()| "chosen");
            request.set_header("x-chosen", said).ok();
        }
        Action::Proceed
    }
}

fn named(call: Call) -> Result<String, &'static str> {
    match call {
        Call::Kv(store) => match Store::open(store).get("key") {
            Ok(_) => Ok("ok".to_owned()),
            Err(error) => Err(error.name()),
        },
        Call::Secret(name) => match secrets::open(&name).and_then(|secret| secret.reveal()) {
            Ok(_) => Ok("ok".to_owned()),
            Err(error) => Err(error.name()),
        },
        Call::Http(url) => match http::get(url).send() {
            Ok(response) => Ok(response.status.to_string()),
            Err(failure) => Err(failure.name()),
        },
        Call::Random(count) => {
            let bytes = random::bytes(count);
            let distinct: std::collections::HashSet<u8> = bytes.iter().copied().collect();
            Ok(format!(
                "{} {} {}",
                bytes.len(),
                distinct.len(),
                random::number()
            ))
        }
    }
}

/// The capabilities that do what they should.
fn nameless() -> String {
    log::info!("a line of the plugin");
    let window = Window::new(1_000_000, Duration::from_secs(1));
    let works = [
        ("metrics", metrics::count("calls", &[], 1).is_ok()),
        ("clock", clock::now() > Duration::from_secs(1_700_000_000)),
        ("random", random::bytes(16) != random::bytes(16)),
        ("attributes", attributes::text("route").is_some()),
        (
            "limiter",
            limiter::take_window(Scope::Route, b"k", &window, 1).is_ok(),
        ),
        ("crypto", crypto::digest(Hash::Sha256, "").len() == 32),
    ];
    let works = works.iter().filter(|(_, works)| *works);
    works.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}
