//! Users and groups of the system: `"www-data"`, `33`.

use std::fmt;

use crate::error::Invalid;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// A user or a group of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// By number, less than 2³² − 1.
    Id(u32),
    /// By name, which the system may or may not know.
    Name(String),
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Account::Id(id) => id.fmt(f),
            Account::Name(name) => f.write_str(name),
        }
    }
}

impl Account {
    /// To chown(2), the last number means "as it is".
    fn id(id: u64) -> Option<Self> {
        u32::try_from(id)
            .ok()
            .filter(|id| *id != u32::MAX)
            .map(Account::Id)
    }

    fn parse(text: &str) -> Option<Self> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::id(text.parse().ok()?);
        }
        // What `useradd` and directories of users give out, not what would spoil /etc/passwd.
        let legal = |c: char| c.is_ascii_graphic() && !":/,".contains(c);
        let named = (1..=255).contains(&text.len()) && text.chars().all(legal);
        (named && !text.starts_with(['-', '+'])).then(|| Account::Name(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AccountVisitor)
    }
}

impl JsonSchema for Account {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Account".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let id = json_schema!({ "type": "integer", "minimum": 0, "maximum": u32::MAX - 1 });
        json_schema!({ "anyOf": [{ "type": "string" }, id] })
    }
}

struct AccountVisitor;

impl Visitor<'_> for AccountVisitor {
    type Value = Account;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Account, E> {
        Account::parse(text).ok_or_else(|| invalid(text))
    }

    fn visit_i64<E: de::Error>(self, id: i64) -> Result<Account, E> {
        let account = u64::try_from(id).ok().and_then(Account::id);
        account.ok_or_else(|| invalid(&id.to_string()))
    }
}

fn invalid<E: de::Error>(text: &str) -> E {
    Invalid::new(
        format!("`{text}` is not a user or group"),
        format!("expected {EXPECTED}"),
    )
    .into_serde()
}

const EXPECTED: &str = "a name such as \"www-data\", or a number";
