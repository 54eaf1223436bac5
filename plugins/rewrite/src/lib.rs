//! Rewrite paths, queries and hosts by rules, and redirect.
//!
//! Rules run once, in order, each on what the ones before have left; so there are no loops. What they
//! make is given to the proxy at the end. Every part is encoded for its place, whatever was captured.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod condition;
mod encode;
mod location;
mod parameters;
mod rule;
mod template;
#[cfg(test)]
mod tests;

use rule::{Effect, RawRule, Rule};
use template::Values;
use tidegate_sdk::prelude::*;

/// The most rules of one configuration.
const MOST: usize = 256;

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What to do, in this order.
    rules: Vec<RawRule>,
}

/// The plugin.
pub struct Rewrite {
    rules: Vec<Rule>,
}

/// What the request is to become.
struct Target {
    path: String,
    query: Option<String>,
    host: Option<String>,
}

#[plugin]
impl Plugin for Rewrite {
    type Config = Config;

    fn configure(config: Config, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        if !(1..=MOST).contains(&config.rules.len()) {
            let message = format!("expected 1 to {MOST} rules");
            return Err(ConfigError::at("rules", message).into());
        }
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        for (index, raw) in config.rules.into_iter().enumerate() {
            match Rule::new(raw) {
                Ok(rule) => rules.push(rule),
                Err((key, message)) => {
                    errors.push(ConfigError::at(format!("rules.{index}{key}"), message));
                }
            }
        }
        if errors.is_empty() {
            Ok(Self { rules })
        } else {
            Err(errors)
        }
    }

    fn on_request(&self, request: &mut Request) -> Action {
        let (path, query) = (request.path(), request.query());
        let mut target = Target {
            path: path.clone(),
            query: query.clone(),
            host: None,
        };
        for rule in &self.rules {
            let before = target.path.clone();
            let found = rule
                .condition
                .holds(request, &before, target.query.as_deref());
            let Some(captures) = found else { continue };
            let values = Values { captures, request };
            match &rule.effect {
                Effect::Redirect { status, location } => {
                    let location = location.render(&values);
                    return request.respond(Reply::new(*status).header("location", location));
                }
                Effect::Rewrite(change) => {
                    if !change.apply(&mut target, &values) {
                        continue;
                    }
                }
            }
            if rule.stops {
                break;
            }
        }
        match target.give(request, &path, query.as_deref()) {
            Ok(()) => Action::Proceed,
            // Nothing that the rules make is refused, unless the head has no room for it.
            Err(_) => Action::Fail,
        }
    }
}

impl Target {
    /// What has changed, to the proxy.
    fn give(self, request: &mut Request, path: &str, query: Option<&str>) -> Result<(), Error> {
        if self.path != path {
            request.set_path(&self.path)?;
        }
        if self.query.as_deref() != query {
            request.set_query(self.query.as_deref())?;
        }
        match self.host {
            Some(host) => request.set_host(&host),
            None => Ok(()),
        }
    }
}
