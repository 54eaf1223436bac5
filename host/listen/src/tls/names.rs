//! Which settings hold for which name.

use super::Settings;
use rustls::ServerConfig;
use std::collections::HashMap;
use std::sync::Arc;

/// Settings by name. What has the same settings is the same endpoint.
#[derive(Debug)]
pub(super) struct Names {
    endpoints: Vec<Endpoint>,
    exact: HashMap<Box<str>, usize>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, usize>,
}

#[derive(Debug)]
struct Endpoint {
    settings: Settings,
    config: Arc<ServerConfig>,
}

impl Names {
    /// All names of `named`, and all others with `default`. `*.` stands for one label or more, as it does
    /// in routes: certificates of clients that are asked for below a name are asked for at any depth.
    pub(super) fn new<E>(
        default: &Settings,
        named: &[(Box<str>, Settings)],
        build: impl Fn(&Settings) -> Result<Arc<ServerConfig>, E>,
    ) -> Result<Names, E> {
        let mut names = Names {
            endpoints: vec![Endpoint {
                settings: default.clone(),
                config: build(default)?,
            }],
            exact: HashMap::new(),
            wildcard: HashMap::new(),
        };
        for (name, settings) in named {
            let mut endpoints = names.endpoints.iter();
            let number = match endpoints.position(|one| one.settings == *settings) {
                Some(number) => number,
                None => {
                    let config = build(settings)?;
                    let settings = settings.clone();
                    names.endpoints.push(Endpoint { settings, config });
                    names.endpoints.len() - 1
                }
            };
            match name.strip_prefix("*.") {
                Some(parent) => names.wildcard.insert(parent.into(), number),
                None => names.exact.insert(name.clone(), number),
            };
        }
        Ok(names)
    }

    /// The endpoint of a name in lower case.
    pub(super) fn endpoint(&self, name: Option<&str>) -> usize {
        let Some(name) = name else { return 0 };
        let exact = self.exact.get(name);
        let mut parents =
            std::iter::successors(name.split_once('.'), |&(_, parent)| parent.split_once('.'));
        // The nearest first, which is the longest.
        let wildcard = || parents.find_map(|(_, parent)| self.wildcard.get(parent));
        exact.or_else(wildcard).copied().unwrap_or(0)
    }

    pub(super) fn settings(&self, endpoint: usize) -> &Settings {
        &self.at(endpoint).settings
    }

    pub(super) fn config(&self, endpoint: usize) -> &Arc<ServerConfig> {
        &self.at(endpoint).config
    }

    /// What was built for these settings, if they are in use.
    pub(super) fn built(&self, settings: &Settings) -> Option<&Arc<ServerConfig>> {
        let mut endpoints = self.endpoints.iter();
        let found = endpoints.find(|one| one.settings == *settings)?;
        Some(&found.config)
    }

    fn at(&self, endpoint: usize) -> &Endpoint {
        // There always is the first, and numbers come from `endpoint` alone.
        self.endpoints.get(endpoint).unwrap_or(&self.endpoints[0])
    }
}
