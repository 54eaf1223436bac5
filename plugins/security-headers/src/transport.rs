//! `strict-transport-security` (RFC 6797).

use tidegate_sdk::prelude::*;

/// A year: the least that browsers' preload lists take.
const PRELOAD_LEAST: u64 = 31_536_000;

/// What `hsts` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransportSecurity {
    /// How long browsers ask by HTTPS only.
    max_age: String,
    /// For the hosts below, too.
    #[serde(default)]
    subdomains: bool,
    /// The wish to be in the lists that come with browsers.
    #[serde(default)]
    preload: bool,
    /// In responses by HTTP, too: where something in front of the proxy ends TLS.
    #[serde(default)]
    pub(crate) force: bool,
}

impl TransportSecurity {
    /// Two years, for the hosts below too.
    pub(crate) fn strict() -> Self {
        Self {
            max_age: "730days".to_owned(),
            subdomains: true,
            preload: false,
            force: false,
        }
    }

    /// A year, for this host.
    pub(crate) fn compatible() -> Self {
        Self {
            max_age: "365days".to_owned(),
            subdomains: false,
            preload: false,
            force: false,
        }
    }

    /// The field's value.
    ///
    /// # Errors
    ///
    /// A time that is none, or what a preload list would refuse.
    pub(crate) fn value(&self) -> Result<String, ConfigError> {
        let Ok(time) = humantime::parse_duration(&self.max_age) else {
            let message = format!(
                "`{}` is not a time, expected one such as `365days`",
                self.max_age
            );
            return Err(ConfigError::at("hsts.max_age", message));
        };
        let seconds = time.as_secs();
        if self.preload && (seconds < PRELOAD_LEAST || !self.subdomains) {
            let message =
                "the lists take hosts with `subdomains` and a `max_age` of 365 days or more";
            return Err(ConfigError::at("hsts.preload", message));
        }
        let mut value = format!("max-age={seconds}");
        if self.subdomains {
            value.push_str("; includeSubDomains");
        }
        if self.preload {
            value.push_str("; preload");
        }
        Ok(value)
    }
}
