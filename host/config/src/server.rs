//! `[server]`: the process.

use std::time::Duration;

use crate::text::Text;
use crate::whole::Whole;
use schemars::JsonSchema;
use serde::Deserialize;

/// `[server]`
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Worker threads. 0 is one per core.
    #[serde(with = "Whole::<0, 1024>")]
    pub threads: u32,
    /// How long a stop waits for exchanges in flight before it cuts them off.
    #[serde(with = "Text::<Duration>")]
    pub drain_timeout: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            threads: 0,
            drain_timeout: Duration::from_secs(30),
        }
    }
}
