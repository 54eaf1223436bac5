//! What a plugin was granted.

use std::collections::BTreeSet;

/// The grants of one plugin; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Interfaces that need nothing but to be allowed, as `allow` names them: `log`, `metrics`, …
    pub words: BTreeSet<String>,
    /// Upstreams that it may choose besides the route's.
    pub upstreams: BTreeSet<String>,
}

impl Capabilities {
    /// Whether the capability that `allow` calls so was granted.
    pub(crate) fn allows(&self, word: &str) -> bool {
        self.words.contains(word)
    }
}
