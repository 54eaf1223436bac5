//! `limiter` in `allow`: whether a plugin may limit, and where its limits are kept.

use std::fmt;

use crate::located::Located;
use crate::names::Section;
use crate::resolve::Resolver;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Where the limits of a plugin are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimiterGrant {
    /// In this process.
    Memory,
    /// In the Redis server of this name, which exists: shared with other processes.
    Redis(String),
}

/// A truth value, or a table.
#[derive(Debug)]
pub(crate) enum RawLimiter {
    Off,
    On,
    Redis(Located<String>),
}

impl RawLimiter {
    pub(crate) fn over(
        self,
        base: Option<LimiterGrant>,
        resolver: &mut Resolver,
    ) -> Option<LimiterGrant> {
        match self {
            RawLimiter::Off => None,
            RawLimiter::On => base.or(Some(LimiterGrant::Memory)),
            RawLimiter::Redis(name) => resolver
                .refer(Section::Redis, name)
                .map(LimiterGrant::Redis),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LimiterTable {
    /// Keep the limits in this [redis.NAME].
    redis: Located<String>,
}

impl<'de> Deserialize<'de> for RawLimiter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LimiterVisitor)
    }
}

impl JsonSchema for RawLimiter {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limiter".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<LimiterTable>();
        json_schema!({ "anyOf": [{ "type": "boolean" }, table] })
    }
}

struct LimiterVisitor;

impl<'de> Visitor<'de> for LimiterVisitor {
    type Value = RawLimiter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false` or a table such as { redis = \"NAME\" }")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<RawLimiter, E> {
        Ok(if on { RawLimiter::On } else { RawLimiter::Off })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawLimiter, A::Error> {
        LimiterTable::deserialize(MapAccessDeserializer::new(map))
            .map(|table| RawLimiter::Redis(table.redis))
    }
}
