//! The claims of a token (RFC 7519 §4), and what is asked of them.

use std::time::Duration;

use serde_json::{Map, Value};
use tidegate_sdk::attributes;
use tidegate_sdk::prelude::*;

use crate::list::List;
use crate::refusal::Refusal;

/// The payload of a verified token.
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Refusal> {
        let claims = serde_json::from_slice(payload);
        claims.map(Self).map_err(|_| Refusal::Malformed)
    }

    pub(crate) fn get(&self, path: &ClaimPath) -> Option<&Value> {
        nested(&self.0, &path.0)
    }

    /// A NumericDate (RFC 7519 §2): seconds since 1970, maybe with a fraction.
    fn date(&self, name: &str) -> Result<Option<f64>, Refusal> {
        let date = self.0.get(name).map(Value::as_f64);
        date.map(|date| date.ok_or(Refusal::Malformed)).transpose()
    }

    /// Whether all of these were granted: `scope` is a text of words (RFC 8693 §4.2), `scp` a text
    /// or a list.
    pub(crate) fn has_scopes(&self, scopes: &[Scope]) -> bool {
        let granted = self.0.get("scope").or_else(|| self.0.get("scp"));
        scopes.iter().all(|Scope(wanted)| match granted {
            Some(Value::String(text)) => text.split(' ').any(|scope| scope == wanted),
            Some(Value::Array(list)) => list.iter().any(|scope| scope == wanted),
            _ => false,
        })
    }

    /// Whether `aud`, a text or a list (RFC 7519 §4.1.3), names one of these.
    pub(crate) fn is_for(&self, audiences: &[String]) -> bool {
        let named = |value: &Value| audiences.iter().any(|one| value == one);
        match self.0.get("aud") {
            Some(Value::Array(list)) => list.iter().any(named),
            Some(one) => named(one),
            None => false,
        }
    }

    pub(crate) fn is_from(&self, issuers: &[String]) -> bool {
        let issuer = self.0.get("iss");
        issuer.is_some_and(|issuer| issuers.iter().any(|one| issuer == one))
    }
}

fn nested<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    // Names with dots are common: `https://app.example/roles`.
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    nested(object.get(first)?.as_object()?, rest)
}

/// When a token is valid.
pub(crate) struct Validity {
    /// How far clocks may be apart.
    pub(crate) leeway: Duration,
    /// The most time since it was issued.
    pub(crate) max_age: Option<Duration>,
    /// Whether a token that never ends is refused.
    pub(crate) require_exp: bool,
}

impl Validity {
    /// RFC 7519 §4.1.4-4.1.6.
    pub(crate) fn check(&self, claims: &Claims, now: Duration) -> Result<(), Refusal> {
        let (now, leeway) = (now.as_secs_f64(), self.leeway.as_secs_f64());
        match claims.date("exp")? {
            Some(end) if now >= end + leeway => return Err(Refusal::Expired),
            None if self.require_exp => return Err(Refusal::Endless),
            _ => {}
        }
        if claims
            .date("nbf")?
            .is_some_and(|start| now + leeway < start)
        {
            return Err(Refusal::NotYet);
        }
        let Some(max_age) = self.max_age else {
            return Ok(());
        };
        match claims.date("iat")? {
            // A date in the future would make it live longer.
            Some(issued) if now + leeway < issued => Err(Refusal::NotYet),
            Some(issued) if now - issued <= max_age.as_secs_f64() + leeway => Ok(()),
            _ => Err(Refusal::TooOld),
        }
    }
}

/// The name of a claim; of one inside another, with a dot between the names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ClaimPath(pub(crate) String);

impl TryFrom<String> for ClaimPath {
    type Error = &'static str;

    fn try_from(path: String) -> Result<Self, &'static str> {
        if path.is_empty() {
            return Err("is empty, expected the name of a claim");
        }
        Ok(Self(path))
    }
}

/// A scope (RFC 6749 §3.3).
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Scope(pub(crate) String);

impl TryFrom<String> for Scope {
    type Error = String;

    fn try_from(scope: String) -> Result<Self, String> {
        let allowed = |byte: u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\');
        if scope.is_empty() || !scope.bytes().all(allowed) {
            return Err(format!(
                "`{scope}` is not a scope: expected printable ASCII without spaces, quotes and backslashes"
            ));
        }
        Ok(Self(scope))
    }
}

/// A value that a claim must have.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected text, an integer or a boolean")]
pub(crate) enum Plain {
    Boolean(bool),
    Integer(i64),
    Text(String),
}

impl Plain {
    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Boolean(truth) => value == truth,
            Self::Integer(number) => value == number,
            Self::Text(text) => value == text,
        }
    }
}

/// Whether the claim has one of these values; a list, whether it holds one.
pub(crate) fn is_one_of(claim: Option<&Value>, allowed: &List<Plain>) -> bool {
    let fits = |value: &Value| allowed.0.iter().any(|one| one.is(value));
    match claim {
        Some(Value::Array(list)) => list.iter().any(fits),
        Some(value) => fits(value),
        None => false,
    }
}

/// A claim as an attribute or a field has it: text, a number, a boolean, or a list of these with
/// commas between them. `None` where it is null.
///
/// # Errors
///
/// It cannot be told apart from another one in that form: an object, an item with a comma, spaces at
/// an end, control characters. Cutting such a claim would turn one user into another.
pub(crate) fn plain(claim: &Value) -> Result<Option<attributes::Value>, Refusal> {
    Ok(Some(match claim {
        Value::Null => return Ok(None),
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.to_string().into(),
        },
        Value::String(text) => checked(text, false)?.into(),
        Value::Array(items) => {
            let items: Result<Vec<String>, Refusal> = items.iter().map(item).collect();
            items?.join(",").into()
        }
        Value::Object(_) => return Err(Refusal::Unfit),
    }))
}

fn item(item: &Value) -> Result<String, Refusal> {
    match item {
        Value::String(text) => checked(text, true).map(str::to_owned),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Refusal::Unfit),
    }
}

fn checked(text: &str, in_list: bool) -> Result<&str, Refusal> {
    let clear = text.trim() == text && !text.contains(char::is_control);
    if clear && !(in_list && (text.is_empty() || text.contains(','))) {
        Ok(text)
    } else {
        Err(Refusal::Unfit)
    }
}
