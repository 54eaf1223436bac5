//! The prefixes of one host, found from the longest to the shortest.

use rustc_hash::FxHashMap;

use super::{RouteIndex, first};

/// One hash table for all prefixes. A lookup asks it once for each length that a prefix has, so its
/// cost depends on how many different lengths there are, not on how many prefixes.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    by_text: FxHashMap<Box<str>, Prefix>,
    /// The lengths in bytes, the longest first, each once.
    lengths: Vec<usize>,
}

/// The routes of one prefix.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    /// Of `/v1/*`: for `/v1` and what is below it.
    pub(super) segment: Vec<RouteIndex>,
    /// Of `/v1*`: for whatever begins so.
    pub(super) raw: Vec<RouteIndex>,
}

impl Prefixes {
    pub(super) fn entry(&mut self, prefix: &str) -> &mut Prefix {
        let longest_first = |len: &usize| prefix.len().cmp(len);
        if let Err(place) = self.lengths.binary_search_by(longest_first) {
            self.lengths.insert(place, prefix.len());
        }
        self.by_text.entry(prefix.into()).or_default()
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &RouteIndex> {
        let prefixes = self.by_text.values();
        prefixes.flat_map(|prefix| prefix.segment.iter().chain(&prefix.raw))
    }

    /// Offers the routes whose prefix fits, the longest first, until one is picked.
    pub(super) fn find<R>(
        &self,
        path: &str,
        pick: &mut impl FnMut(RouteIndex) -> Option<R>,
    ) -> Option<R> {
        self.lengths.iter().find_map(|&len| {
            let prefix = self.by_text.get(path.get(..len)?)?;
            let at_segment_end = matches!(path.as_bytes().get(len), None | Some(b'/'));
            let segment: &[_] = if at_segment_end { &prefix.segment } else { &[] };
            first(segment, pick).or_else(|| first(&prefix.raw, pick))
        })
    }
}
