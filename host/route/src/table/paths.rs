//! The second step of a lookup: within one host, which routes to try for a path.

use rustc_hash::FxHashMap;

use super::prefixes::Prefixes;
use super::regexes::Regexes;
use super::{RouteIndex, first};
use crate::PathPattern;
use crate::pattern::PathKind;

/// The routes of one host by their paths.
#[derive(Debug, Default)]
pub(super) struct Paths {
    exact: FxHashMap<Box<str>, Vec<RouteIndex>>,
    regexes: Regexes,
    prefixes: Prefixes,
    any: Vec<RouteIndex>,
}

impl Paths {
    /// Adds a route behind those that have the same path. `place` is the place of the path in its route.
    pub(super) fn insert(&mut self, path: &PathPattern, route: RouteIndex, place: usize) {
        match path.kind() {
            PathKind::Exact(path) => self.exact.entry(path.clone()).or_default().push(route),
            PathKind::Regex(regex) => self.regexes.insert(regex, route, place),
            PathKind::Segment(prefix) => self.prefixes.entry(prefix).segment.push(route),
            PathKind::Raw(prefix) => self.prefixes.entry(prefix).raw.push(route),
            PathKind::Any => self.any.push(route),
        }
    }

    /// Call once, after the last route.
    pub(super) fn finish(&mut self) {
        self.regexes.finish();
    }

    /// All routes, one for each of its paths.
    pub(super) fn routes(&self) -> impl Iterator<Item = RouteIndex> {
        let exact = self.exact.values().flatten();
        let regexes = self.regexes.routes();
        let prefixes = self.prefixes.routes();
        exact
            .chain(regexes)
            .chain(prefixes)
            .chain(&self.any)
            .copied()
    }

    /// The routes for any path.
    pub(super) fn any(&self) -> &[RouteIndex] {
        &self.any
    }

    /// Offers the routes that have this path, the most specific first, until one is picked.
    pub(super) fn find<R>(
        &self,
        path: &str,
        pick: &mut impl FnMut(RouteIndex) -> Option<R>,
    ) -> Option<R> {
        let exact = self.exact.get(path).map(Vec::as_slice);
        first(exact.unwrap_or_default(), pick)
            .or_else(|| self.regexes.find(path, pick))
            .or_else(|| self.prefixes.find(path, pick))
            .or_else(|| first(&self.any, pick))
    }
}
