//! `[redis.NAME]`: a Redis server that limiters and stores are kept in.

use std::time::Duration;

use crate::address::PeerAddress;
use crate::located::{Located, Span};
use crate::resolve::Resolver;
use crate::secret_name::{self, SecretKey};
use crate::text::Text;
use crate::whole::Whole;
use schemars::JsonSchema;
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
    #[schemars(schema_with = "secret_name::schema", example = serde_json::json!({ "secret": "token" }))]
    password: Option<SecretKey>,
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
                .and_then(|password| secret_name::resolve(password, "password", resolver)),
            database: self.database,
            timeout: self.timeout,
        })
    }
}
