//! `[redis.NAME]`: a Redis server that limiters and stores are kept in.

use std::time::Duration;

use crate::address::PeerAddress;
use crate::error::Invalid;
use crate::located::{Located, Span};
use crate::names::Section;
use crate::resolve::Resolver;
use crate::shorthand::{Brief, Shorthand};
use crate::text::Text;
use crate::whole::Whole;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// One `[redis.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Redis {
    /// Where it is.
    pub address: PeerAddress,
    /// Where the address was written, for a name that turns out not to exist.
    pub span: Span,
    /// Who logs in; the server's default user where there is none. Only with a password.
    pub username: Option<String>,
    /// The name of the secret that is the password, which exists.
    pub password: Option<String>,
    /// The database's number.
    pub database: u32,
    /// The most time that one command may take.
    pub timeout: Duration,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRedis {
    /// Where it is: "127.0.0.1:6379", "redis.internal:6379" or "unix:/run/redis.sock".
    #[schemars(example = &"127.0.0.1:6379")]
    address: Located<Text<PeerAddress>>,
    /// Who logs in (with a password). Without it, the server's default user.
    #[schemars(example = &"tidegate")]
    username: Option<Located<String>>,
    /// The [secret.NAME] that is the password.
    #[serde(default)]
    #[schemars(schema_with = "password_schema", example = serde_json::json!({ "secret": "token" }))]
    password: Option<Located<Brief<RawPassword>>>,
    /// The database's number.
    #[serde(default, with = "Whole::<0, 65_535>")]
    database: u32,
    /// The most time that one command may take.
    #[serde(default = "timeout", with = "Text::<Duration>")]
    timeout: Duration,
}

fn timeout() -> Duration {
    Duration::from_millis(100)
}

impl RawRedis {
    pub(crate) fn resolve(self, resolver: &mut Resolver) -> Option<Redis> {
        if let Some(username) = self.username.as_ref().filter(|_| self.password.is_none()) {
            resolver.reject(
                username.span,
                "a user logs in with a password",
                "add `password = { secret = \"NAME\" }`",
            );
        }
        Some(Redis {
            address: self.address.value.0,
            span: self.address.span,
            username: self.username.map(|name| name.value),
            password: self
                .password
                .and_then(|password| password.value.0.resolve(password.span, resolver)),
            database: self.database,
            timeout: self.timeout,
        })
    }
}

// Empty where something else was written, such as the password itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["secret"]))]
struct RawPassword {
    /// The name of the section.
    secret: Option<Located<String>>,
}

/// The table alone: an editor should not take the password itself.
fn password_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "allOf": [generator.subschema_for::<RawPassword>()] })
}

impl RawPassword {
    fn resolve(self, span: Span, resolver: &mut Resolver) -> Option<String> {
        let Some(name) = self.secret else {
            resolver.reject_unshown(
                span,
                "a password does not stand in this file",
                "write `password = { secret = \"NAME\" }`, and where it is in a section [secret.NAME]",
            );
            return None;
        };
        resolver.refer(Section::Secret, name)
    }
}

impl Shorthand for RawPassword {
    const EXPECTED: &'static str = "a table such as { secret = \"NAME\" }";

    /// What was written is not kept.
    fn expand(_: Located<String>) -> Result<Self, Invalid> {
        Ok(Self::default())
    }
}
