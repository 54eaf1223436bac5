//! The interface `attributes`.

use super::super::call::with;
use super::super::phase::Phase;
use crate::Error;
use crate::attributes::Value;

pub(crate) fn get(name: &str) -> Option<Value> {
    with(|current| current.exchange.attributes.get(name).cloned())
}

pub(crate) fn get_text(name: &str) -> Option<String> {
    get(name).as_ref().map(as_text)
}

pub(in crate::testing) fn as_text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

pub(crate) fn set(name: &str, value: &Value) -> Result<(), Error> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
        return Err(Error::InvalidName);
    }
    if BUILT_IN.contains(&name) {
        return Err(Error::Forbidden);
    }
    with(|current| {
        let attributes = &mut current.only(Phase::has_exchange)?.exchange.attributes;
        if attributes.len() >= 64 + BUILT_IN.len() && !attributes.contains_key(name) {
            return Err(Error::LimitReached);
        }
        attributes.insert(name.to_owned(), value.clone());
        Ok(())
    })
}

const BUILT_IN: [&str; 8] = [
    "client.address",
    "client.port",
    "peer.address",
    "listener",
    "route",
    "request.id",
    "request.protocol",
    "upstream",
];
