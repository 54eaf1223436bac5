//! `[kv.NAME]`: a store of keys and values for plugins.

use crate::located::Located;
use crate::names::Section;
use crate::resolve::Resolver;
use crate::size::{KIB, MIB, Size};
use crate::whole::Whole;
use schemars::JsonSchema;
use serde::Deserialize;

/// One `[kv.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kv {
    /// In this process's memory, until it stops.
    Memory {
        /// The most keys.
        entries: u32,
        /// The most bytes of keys and values.
        bytes: u64,
    },
    /// In the Redis server of this name, which exists.
    Redis(String),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawKv {
    /// The most keys in memory. A store that is full forgets old ones.
    #[schemars(with = "Option<Entries>", extend("default" = ENTRIES))]
    entries: Option<Located<Entries>>,
    /// The most bytes of keys and values in memory.
    #[schemars(extend("default" = "16MiB"))]
    bytes: Option<Located<Bytes>>,
    /// Instead of memory: keep it in this [redis.NAME].
    #[schemars(example = &"main")]
    redis: Option<Located<String>>,
}

type Entries = Whole<1, 10_000_000>;
type Bytes = Size<{ 4 * KIB }>;

impl RawKv {
    pub(crate) fn resolve(self, resolver: &mut Resolver) -> Option<Kv> {
        let Some(redis) = self.redis else {
            return Some(Kv::Memory {
                entries: self.entries.map_or(ENTRIES, |entries| entries.value.0),
                bytes: self.bytes.map_or(BYTES, |bytes| bytes.value.0),
            });
        };
        let given = [
            self.entries.map(|key| ("entries", key.span)),
            self.bytes.map(|key| ("bytes", key.span)),
        ];
        for (key, span) in given.into_iter().flatten() {
            resolver.reject(
                span,
                format!("`{key}` is for stores in memory only"),
                "remove it; Redis has bounds of its own (`maxmemory`)",
            );
        }
        resolver.refer(Section::Redis, redis).map(Kv::Redis)
    }
}

const ENTRIES: u32 = 10_000;
const BYTES: u64 = 16 * MIB;
