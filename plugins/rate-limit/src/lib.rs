//! Limit how many requests a client may make.
//!
//! `configure` compiles the key's parts and the bucket. The request phase takes tokens from the
//! host's bucket for that key and answers 429 where there are too few. What is left goes into
//! attributes, and into the `RateLimit` fields that the host is told to give the response.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod key;
#[cfg(test)]
mod tests;

use std::time::Duration;

use key::{Key, Part};
use tidegate_sdk::limiter::{Bucket, Outcome, Scope};
use tidegate_sdk::prelude::*;

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Tokens that a bucket gains, such as `100/s`.
    rate: Rate,
    /// The most tokens that it holds; the rate's number where absent.
    burst: Option<u64>,
    /// What requests must have in common to share a bucket.
    #[serde(default)]
    key: Key,
    /// Whether routes share buckets.
    #[serde(default)]
    scope: SharedBy,
    /// Tokens that a request costs.
    #[serde(default = "one")]
    cost: u64,
    /// What to do with a request that lacks a part of the key.
    #[serde(default)]
    missing_key: MissingKey,
    /// IPv6 clients with this many equal leading bits are one client.
    #[serde(default = "subnet")]
    ipv6_prefix: u8,
    /// The policy's name in header fields, attributes and metrics.
    #[serde(default = "default_name")]
    name: String,
    /// Whether responses tell the client its limit.
    #[serde(default = "yes")]
    headers: bool,
    /// Count and log what would be limited, and limit nothing.
    #[serde(default)]
    dry_run: bool,
}

/// The plugin.
pub struct RateLimit {
    config: Config,
    bucket: Bucket,
    scope: Scope,
    /// The first bytes of every key: two policies never share a bucket.
    prefix: Vec<u8>,
    /// `RateLimit-Policy`, the same for all requests.
    policy: String,
    remaining: String,
    reset: String,
}

#[plugin]
impl Plugin for RateLimit {
    type Config = Config;

    fn configure(config: Config, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        let burst = config.burst.unwrap_or(config.rate.tokens);
        check(&config, burst)?;
        let Rate { tokens, period } = config.rate;
        let name = &config.name;
        let bucket = Bucket::new(tokens, period, burst);
        // A full window: the time in which an empty bucket fills.
        let window = period.as_secs().saturating_mul(burst).div_ceil(tokens);
        Ok(Self {
            bucket,
            scope: match config.scope {
                SharedBy::Route => Scope::Route,
                SharedBy::Plugin => Scope::Plugin,
            },
            prefix: format!("{name} {tokens}/{} {burst}\n", period.as_secs()).into_bytes(),
            policy: format!("\"{name}\";q={burst};w={window}"),
            remaining: format!("rate-limit.{name}.remaining"),
            reset: format!("rate-limit.{name}.reset"),
            config,
        })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        let key = match self.key(request) {
            Ok(key) => key,
            Err(Missing::Skip) => return Action::Proceed,
            Err(Missing::Deny(part)) => return self.deny(request, part),
        };
        match limiter::take(self.scope, &key, &self.bucket, self.config.cost) {
            Ok(outcome) if self.config.dry_run => self.note(&outcome),
            Ok(outcome) if outcome.allowed => self.tell(request, &outcome),
            Ok(outcome) => self.refuse(request, &outcome),
            Err(error) => {
                log::error!("the limiter did not answer: {error}");
                Action::Fail
            }
        }
    }
}

/// In place of a part's length, where there is no such part.
const MISSING: u32 = u32::MAX;

enum Missing<'a> {
    Skip,
    Deny(&'a Part),
}

impl RateLimit {
    /// The bucket's key. Each part carries its length, so that no two lists of parts look the same.
    fn key(&self, request: &Request) -> Result<Vec<u8>, Missing<'_>> {
        let mut key = self.prefix.clone();
        for part in self.config.key.parts() {
            match part.read(request, self.config.ipv6_prefix) {
                Some(value) => {
                    let length = u32::try_from(value.len()).unwrap_or(MISSING - 1);
                    key.extend(length.to_le_bytes());
                    key.extend(value);
                }
                None => match self.config.missing_key {
                    MissingKey::LimitTogether => key.extend(MISSING.to_le_bytes()),
                    MissingKey::Skip => return Err(Missing::Skip),
                    MissingKey::Deny => return Err(Missing::Deny(part)),
                },
            }
        }
        Ok(key)
    }

    fn deny(&self, request: &mut Request, part: &Part) -> Action {
        self.count("missing_key");
        if self.config.dry_run {
            log::info!("would deny a request without {part}");
            return Action::Proceed;
        }
        request.respond(Reply::new(400).text(format!("the request has no {part}\n")))
    }

    /// For a dry run.
    fn note(&self, outcome: &Outcome) -> Action {
        if !outcome.allowed {
            self.count("limited");
            log::info!("would limit a request by policy {}", self.config.name);
        }
        Action::Proceed
    }

    /// The client, later plugins and the access log learn what is left.
    fn tell(&self, request: &mut Request, outcome: &Outcome) -> Action {
        if self.config.headers {
            let (remaining, reset) = (outcome.remaining, seconds(outcome.full_after));
            let told = set(&self.remaining, remaining)
                .and_then(|()| set(&self.reset, reset))
                .and_then(|()| request.prepare_response(&self.fields(remaining, reset)));
            if let Err(error) = told {
                // The client misses advice, and nothing that it needs.
                log::warn!("the response has no RateLimit fields: {error}");
            }
        }
        Action::Proceed
    }

    fn refuse(&self, request: &mut Request, outcome: &Outcome) -> Action {
        self.count("limited");
        // RFC 9110 §10.2.3: whole seconds. Zero would ask for a retry that is refused again.
        let retry_after = seconds(outcome.retry_after).max(1);
        let mut reply = Reply::new(429).header("retry-after", retry_after.to_string());
        if self.config.headers {
            let state = self.state(outcome.remaining, seconds(outcome.full_after));
            reply = reply
                .header("ratelimit-policy", self.policy.as_str())
                .header("ratelimit", state);
        }
        request.respond(reply.text("too many requests\n"))
    }

    /// The fields of draft-ietf-httpapi-ratelimit-headers: the policy; and tokens left, with the seconds until
    /// the bucket is full.
    fn fields(&self, remaining: u64, reset: u64) -> Edits {
        let mut edits = Edits::new();
        edits.append("ratelimit-policy", self.policy.as_str());
        edits.append("ratelimit", self.state(remaining, reset));
        edits
    }

    /// The second of them.
    fn state(&self, remaining: u64, reset: u64) -> String {
        let (mut r, mut t) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (r, t) = (r.format(remaining), t.format(reset));
        ["\"", self.config.name.as_str(), "\";r=", r, ";t=", t].concat()
    }

    fn count(&self, metric: &str) {
        if let Err(error) = metrics::count(metric, &[("policy", &self.config.name)], 1) {
            log::debug!("metric {metric}: {error}");
        }
    }
}

fn check(config: &Config, burst: u64) -> Result<(), ConfigError> {
    if burst == 0 {
        return Err(ConfigError::at("burst", "is 0, expected at least 1"));
    }
    if !(1..=burst).contains(&config.cost) {
        let message = format!(
            "is {}, expected 1 to the burst, which is {burst}",
            config.cost
        );
        return Err(ConfigError::at("cost", message));
    }
    if !(1..=128).contains(&config.ipv6_prefix) {
        return Err(ConfigError::at("ipv6_prefix", "expected 1 to 128"));
    }
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=32).contains(&config.name.len()) || !config.name.bytes().all(allowed) {
        return Err(ConfigError::at(
            "name",
            "expected 1 to 32 characters of `a-z 0-9 -`",
        ));
    }
    Ok(())
}

/// `N/s`, `N/m`, `N/h` or `N/d`.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Rate {
    tokens: u64,
    period: Duration,
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parse = || {
            let (tokens, unit) = text.split_once('/')?;
            let seconds = match unit.trim() {
                "s" => 1,
                "m" => 60,
                "h" => 3_600,
                "d" => 86_400,
                _ => return None,
            };
            let tokens = tokens.trim().parse().ok().filter(|tokens| *tokens > 0)?;
            Some(Self {
                tokens,
                period: Duration::from_secs(seconds),
            })
        };
        parse().ok_or_else(|| {
            format!(
                "`{text}` is not a rate, expected a number above 0 per s, m, h or d, as in `100/s`"
            )
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SharedBy {
    #[default]
    Route,
    Plugin,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MissingKey {
    #[default]
    LimitTogether,
    Skip,
    Deny,
}

fn set(attribute: &str, number: u64) -> Result<(), Error> {
    attributes::set(attribute, i64::try_from(number).unwrap_or(i64::MAX))
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn one() -> u64 {
    1
}

fn subnet() -> u8 {
    64
}

fn yes() -> bool {
    true
}

fn default_name() -> String {
    "default".to_owned()
}
