//! `[log]`: the proxy's log, on standard error, and the access log, on standard output.

use crate::attribute::AttributeNames;
use crate::whole::Whole;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[log]`
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important lines that are kept: "error", "warn", "info", "debug" or "trace".
    pub level: Level,
    /// "text" for people, "json" for machines.
    pub format: Format,
    /// Whether each request gets a line.
    pub access: bool,
    /// Lines of each log that wait to be written. When whoever reads the log cannot keep up, further ones are lost, and
    /// counted in `tidegate_log_lines_lost_total`: no request waits for a log.
    #[serde(with = "Whole::<1, 16_777_216>")]
    pub buffered_lines: u32,
    /// Attributes that are written into the lines of the access log, such as "jwt.sub"; at most 32.
    #[serde(with = "AttributeNames::<32>")]
    #[schemars(example = serde_json::json!(["jwt.sub"]))]
    pub access_attributes: Vec<String>,
}

/// How important a line is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something is lost or refused that should not be.
    Error,
    /// Something is wrong that the proxy copes with.
    Warn,
    /// Starts, stops, reloads and swaps.
    Info,
    /// What is of use when looking for a mistake.
    Debug,
    /// Everything.
    Trace,
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// For machines: one object per line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: Level::Info,
            format: Format::Text,
            access: true,
            buffered_lines: 65_536,
            access_attributes: Vec::new(),
        }
    }
}
