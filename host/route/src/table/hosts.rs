//! The first step of a lookup: which hosts' paths to try, and in which order.

use std::iter::{once, successors};

use rustc_hash::FxHashMap;

use super::paths::Paths;
use crate::HostPattern;
use crate::pattern::HostKind;

/// The paths of every host. The keys come from the configuration, so nobody can make them collide on
/// purpose and a fast hash will do.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: FxHashMap<Box<str>, Paths>,
    /// By the part after `*.`.
    below: FxHashMap<Box<str>, Paths>,
    any: Paths,
}

impl Hosts {
    pub(super) fn entry(&mut self, host: &HostPattern) -> &mut Paths {
        match host.kind() {
            HostKind::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostKind::Below(parent) => self.below.entry(parent.clone()).or_default(),
            HostKind::Any => &mut self.any,
        }
    }

    /// Call once, after the last route.
    pub(super) fn finish(&mut self) {
        let below = self.below.values_mut();
        for paths in self.exact.values_mut().chain(below) {
            paths.finish();
        }
        self.any.finish();
    }

    /// As they are written.
    pub(super) fn patterns(&self) -> impl Iterator<Item = String> {
        let exact = self.exact.keys().map(|name| name.to_string());
        let below = self.below.keys().map(|parent| format!("*.{parent}"));
        exact.chain(below).chain(once("*".to_owned()))
    }

    /// The most specific first.
    pub(super) fn matching<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Paths> {
        let parents = successors(parent(host), |name| parent(name));
        self.exact
            .get(host)
            .into_iter()
            .chain(parents.filter_map(|name| self.below.get(name)))
            .chain(once(&self.any))
    }
}

/// The name without its first label.
fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}
