//! Makes the call of `kv` or `limiter` that the field `x-call` describes in JSON, and answers with what came
//! of it: 200 and the value, or 400 and the name of the error. With the field `x-then`, a request that got a
//! place of a limit goes on.

#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_sdk::limiter::{Bucket, Scope, Window};
use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Calls {}

/// Times are in milliseconds.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Call {
    Get(Key),
    Set {
        at: Key,
        value: String,
        ttl: Option<u64>,
    },
    Delete(Key),
    CompareAndSet {
        at: Key,
        expected: Option<String>,
        value: String,
    },
    Increment {
        at: Key,
        by: i64,
        ttl: Option<u64>,
    },
    Take {
        key: String,
        tokens: u64,
        period: u64,
    },
    Window {
        key: String,
        limit: u64,
        period: u64,
    },
    Acquire {
        key: String,
        limit: u64,
        ttl: u64,
    },
    AcquireAndRelease {
        key: String,
        limit: u64,
        ttl: u64,
    },
}

/// A store and a key in it.
#[derive(Deserialize)]
struct Key(String, String);

#[plugin]
impl Plugin for Calls {
    fn on_request(&self, request: &mut Request) -> Action {
        let Some(call) = request.header("x-call") else {
            return Action::Proceed;
        };
        let answer = match serde_json::from_slice(call.as_bytes()) {
            Ok(call) => make(call).map_err(|error| error.name().to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match answer {
            Ok(held) if held == "true" && request.header("x-then").is_some() => Action::Proceed,
            Ok(value) => request.respond(Reply::new(200).text(value)),
            Err(error) => request.respond(Reply::new(400).text(error)),
        }
    }
}

fn make(call: Call) -> Result<String, Error> {
    Ok(match call {
        Call::Get(Key(store, key)) => match Store::open(store).get(key)? {
            Some(value) => String::from_utf8_lossy(&value).into_owned(),
            None => "none".to_owned(),
        },
        Call::Set {
            at: Key(store, key),
            value,
            ttl,
        } => {
            Store::open(store).set(key, value, ttl.map(Duration::from_millis))?;
            "set".to_owned()
        }
        Call::Delete(Key(store, key)) => Store::open(store).delete(key)?.to_string(),
        Call::CompareAndSet {
            at: Key(store, key),
            expected,
            value,
        } => {
            let expected = expected.as_deref().map(str::as_bytes);
            Store::open(store)
                .compare_and_set(key, expected, value, None)?
                .to_string()
        }
        Call::Increment {
            at: Key(store, key),
            by,
            ttl,
        } => {
            let ttl = ttl.map(Duration::from_millis);
            Store::open(store).increment(key, by, ttl)?.to_string()
        }
        Call::Take {
            key,
            tokens,
            period,
        } => {
            let bucket = Bucket::new(tokens, Duration::from_millis(period), tokens);
            limiter::take(Scope::Plugin, key.as_bytes(), &bucket, 1)?
                .allowed
                .to_string()
        }
        Call::Window { key, limit, period } => {
            let window = Window::new(limit, Duration::from_millis(period));
            limiter::take_window(Scope::Plugin, key.as_bytes(), &window, 1)?
                .allowed
                .to_string()
        }
        Call::Acquire { key, limit, ttl } => acquire(&key, limit, ttl)?.to_string(),
        Call::AcquireAndRelease { key, limit, ttl } => {
            let held = acquire(&key, limit, ttl)?;
            limiter::release(Scope::Plugin, key.as_bytes())?;
            held.to_string()
        }
    })
}

fn acquire(key: &str, limit: u64, ttl: u64) -> Result<bool, Error> {
    limiter::acquire(
        Scope::Plugin,
        key.as_bytes(),
        limit,
        Duration::from_millis(ttl),
    )
}
