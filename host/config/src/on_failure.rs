//! `on_failure` in `[plugins]` and `[plugin.NAME]`: what a request gets when a plugin fails.

use crate::error::Invalid;
use crate::located::Located;
use crate::shorthand::Shorthand;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a request gets, by the way in which the plugin failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnFailure {
    /// The code trapped.
    pub trap: Policy,
    /// A call took too long.
    pub deadline: Policy,
    /// The instance asked for more memory than it may have.
    pub memory: Policy,
    /// The plugin said itself that it failed, or gave an answer that makes no sense.
    pub error: Policy,
    /// A body is larger than what may be held for the plugin; `closed` answers 413 to a request, 502
    /// to a response.
    pub over_limit: Policy,
}

impl From<Policy> for OnFailure {
    fn from(policy: Policy) -> Self {
        Self {
            trap: policy,
            deadline: policy,
            memory: policy,
            error: policy,
            over_limit: policy,
        }
    }
}

/// What a request gets when a plugin failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// An error, 503 but for `over_limit`: nothing passes that the plugin has not seen.
    Closed,
    /// As if the plugin were not there.
    Open,
}

// === on_failure as written: one policy, or one per kind ===

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawOnFailure {
    trap: Option<Policy>,
    deadline: Option<Policy>,
    memory: Option<Policy>,
    error: Option<Policy>,
    over_limit: Option<Policy>,
}

impl RawOnFailure {
    /// What is not given is as in `defaults`.
    pub(crate) fn over(self, defaults: OnFailure) -> OnFailure {
        OnFailure {
            trap: self.trap.unwrap_or(defaults.trap),
            deadline: self.deadline.unwrap_or(defaults.deadline),
            memory: self.memory.unwrap_or(defaults.memory),
            error: self.error.unwrap_or(defaults.error),
            over_limit: self.over_limit.unwrap_or(defaults.over_limit),
        }
    }
}

impl Shorthand for RawOnFailure {
    const EXPECTED: &'static str =
        "\"closed\", \"open\" or a table such as { deadline = \"open\" }";

    fn expand(text: Located<String>) -> Result<Self, Invalid> {
        let policy = match text.value.as_str() {
            "closed" => Some(Policy::Closed),
            "open" => Some(Policy::Open),
            other => {
                return Err(Invalid::new(
                    format!("unknown value `{other}`"),
                    format!("expected {}", Self::EXPECTED),
                ));
            }
        };
        Ok(Self {
            trap: policy,
            deadline: policy,
            memory: policy,
            error: policy,
            over_limit: policy,
        })
    }
}
