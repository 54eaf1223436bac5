//! Send a share of the clients to another upstream, and each client to the same one every time.
//!
//! A client's target follows from a hash of its key, from its cookie, or from a field that testers
//! send. Nothing is stored: all instances and proxies with the same configuration choose alike.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod share;
mod sticky;
#[cfg(test)]
mod tests;

use sticky::{Cookie, Key};
use tidegate_sdk::FieldName;
use tidegate_sdk::prelude::*;

/// The target that was chosen.
const TARGET: &str = "canary.target";

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Upstreams and their shares.
    targets: Vec<Target>,
    /// What is the same in all requests of a client.
    #[serde(default = "client_address")]
    key: Key,
    /// Makes the choice independent of that of other routes.
    #[serde(default)]
    salt: String,
    /// The cookie that tells a client its target.
    cookie: Option<Cookie>,
    /// The request field by which testers choose.
    force_header: Option<FieldName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    upstream: String,
    weight: u32,
}

/// The plugin.
pub struct Canary {
    config: Config,
}

#[plugin]
impl Plugin for Canary {
    type Config = Config;

    fn configure(config: Config, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        for (index, target) in config.targets.iter().enumerate() {
            target.check(index, &config.targets)?;
        }
        if config.targets.iter().all(|target| target.weight == 0) {
            let message = "expected at least one target with a weight above 0";
            return Err(ConfigError::at("targets", message).into());
        }
        if let Some(cookie) = &config.cookie {
            cookie.check()?;
        }
        Ok(Self { config })
    }

    fn on_upstream_choice(&self, request: &mut Request, upstream: &mut Upstream) -> Action {
        let Some((target, by)) = self.choose(request) else {
            return Action::Proceed;
        };
        let name = target.upstream.as_str();
        if let Err(error) = upstream.choose_group(name) {
            log::error!("the upstream `{name}` cannot be chosen: {error}");
            return Action::Fail;
        }
        if let Err(error) = attributes::set(TARGET, name) {
            log::warn!("later plugins will not know the target: {error}");
        }
        if by == By::Key {
            self.tell(request, name);
        }
        let labels = [("target", name), ("by", by.label())];
        if let Err(error) = metrics::count("chosen", &labels, 1) {
            log::debug!("metric chosen: {error}");
        }
        Action::Proceed
    }
}

/// What decided.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Header,
    Cookie,
    Key,
}

impl By {
    /// For the metric.
    fn label(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Key => "key",
        }
    }
}

impl Canary {
    fn choose(&self, request: &Request) -> Option<(&Target, By)> {
        if let Some(forced) = self.forced(request) {
            return Some((forced, By::Header));
        }
        if let Some(told) = self.told(request) {
            return Some((told, By::Cookie));
        }
        let Config {
            key, salt, targets, ..
        } = &self.config;
        let shares = targets
            .iter()
            .map(|target| (target.upstream.as_str(), target.weight));
        let place = share::choose(salt, &key.read(request), shares)?;
        Some((targets.get(place)?, By::Key))
    }

    /// The client comes back to the same target, where it is to have a cookie.
    fn tell(&self, request: &mut Request, target: &str) {
        let Some(cookie) = &self.config.cookie else {
            return;
        };
        let secure = request.scheme() == "https";
        let mut edits = Edits::new();
        edits.append("set-cookie", cookie.value(target, secure));
        if let Err(error) = request.prepare_response(&edits) {
            log::warn!("the client is not told its target: {error}");
        }
    }

    /// A tester may choose a target that nobody else gets.
    fn forced(&self, request: &Request) -> Option<&Target> {
        let name = self.config.force_header.as_ref()?;
        let value = request.header(name.as_str())?;
        self.target(value.as_bytes())
    }

    /// What an earlier response told the client, unless that target takes no clients any more.
    fn told(&self, request: &Request) -> Option<&Target> {
        let cookie = self.config.cookie.as_ref()?;
        let value = sticky::cookie(request, &cookie.name)?;
        self.target(&value).filter(|target| target.weight > 0)
    }

    fn target(&self, name: &[u8]) -> Option<&Target> {
        let mut targets = self.config.targets.iter();
        targets.find(|target| target.upstream.as_bytes() == name)
    }
}

impl Target {
    fn check(&self, index: usize, all: &[Target]) -> Result<(), ConfigError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let at = format!("targets.{index}.upstream");
        if self.upstream.is_empty() || !self.upstream.bytes().all(allowed) {
            return Err(ConfigError::at(at, "expected the name of an upstream"));
        }
        let first = all.iter().position(|other| other.upstream == self.upstream);
        match first.filter(|first| *first != index) {
            Some(first) => {
                let message = format!(
                    "`{}` is the upstream of `targets.{first}` too",
                    self.upstream
                );
                Err(ConfigError::at(at, message))
            }
            None => Ok(()),
        }
    }
}

fn client_address() -> Key {
    Key::ClientAddress
}
