//! The regexes of one host, tried in the order of the file.

use regex::bytes::{Regex, RegexSet, RegexSetBuilder};

use super::{RouteIndex, first};
use crate::pattern::REGEX_SIZE_LIMIT;

/// The regexes of one host, each text once.
#[derive(Debug, Default)]
pub(super) struct Regexes {
    entries: Vec<Entry>,
    /// All of them in one automaton, so that a path is read once. Absent for fewer than two, or if they
    /// do not fit into one; then each is tried by itself.
    set: Option<RegexSet>,
}

#[derive(Debug)]
struct Entry {
    regex: Regex,
    /// Route and place in it where the regex is first written.
    written: (RouteIndex, usize),
    routes: Vec<RouteIndex>,
}

impl Regexes {
    pub(super) fn insert(&mut self, regex: &Regex, route: RouteIndex, place: usize) {
        let written = (route, place);
        let same = |entry: &&mut Entry| entry.regex.as_str() == regex.as_str();
        match self.entries.iter_mut().find(same) {
            Some(entry) => {
                entry.written = entry.written.min(written);
                entry.routes.push(route);
            }
            None => self.entries.push(Entry {
                regex: regex.clone(),
                written,
                routes: vec![route],
            }),
        }
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &RouteIndex> {
        self.entries.iter().flat_map(|entry| &entry.routes)
    }

    /// Call once, after the last regex.
    pub(super) fn finish(&mut self) {
        self.entries.sort_by_key(|entry| entry.written);
        if self.entries.len() > 1 {
            let texts = self.entries.iter().map(|entry| entry.regex.as_str());
            self.set = RegexSetBuilder::new(texts)
                .unicode(false)
                .size_limit(self.entries.len().saturating_mul(REGEX_SIZE_LIMIT))
                .build()
                .ok();
        }
    }

    /// Offers the routes whose regex fits, in the order of the file, until one is picked.
    pub(super) fn find<R>(
        &self,
        path: &str,
        pick: &mut impl FnMut(RouteIndex) -> Option<R>,
    ) -> Option<R> {
        let path = path.as_bytes();
        match &self.set {
            // Only `matches` allocates, and most paths fit no regex.
            Some(set) if set.is_match(path) => set
                .matches(path)
                .iter()
                .filter_map(|index| self.entries.get(index))
                .find_map(|entry| first(&entry.routes, pick)),
            Some(_) => None,
            None => self
                .entries
                .iter()
                .filter(|entry| entry.regex.is_match(path))
                .find_map(|entry| first(&entry.routes, pick)),
        }
    }
}
