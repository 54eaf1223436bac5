//! Names of sections that other sections refer to, such as the upstream of a route.

use std::collections::{BTreeMap, BTreeSet};

use crate::file::File;
use crate::nearest::nearest;

/// A kind of section that has a name of the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    Upstream,
    Kv,
    Redis,
    Secret,
    Acme,
    Listener,
}

impl Section {
    /// The first part of the heading.
    fn heading(self) -> &'static str {
        match self {
            Section::Upstream => "upstream",
            Section::Kv => "kv",
            Section::Redis => "redis",
            Section::Secret => "secret",
            Section::Acme => "acme",
            Section::Listener => "listener",
        }
    }

    /// What the section describes, for messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Section::Upstream => "upstream",
            Section::Kv => "KV store",
            Section::Redis => "Redis server",
            Section::Secret => "secret",
            Section::Acme => "certificate authority",
            Section::Listener => "listener",
        }
    }
}

/// The names of all sections to which others refer.
#[derive(Debug)]
pub(crate) struct Names(BTreeMap<Section, BTreeSet<String>>);

impl Names {
    pub(crate) fn of(file: &File) -> Self {
        let set = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        Self(BTreeMap::from([
            (Section::Upstream, set(file.upstream.names())),
            (Section::Kv, set(file.kv.names())),
            (Section::Redis, set(file.redis.names())),
            (Section::Secret, set(file.secret.names())),
            (Section::Acme, set(file.acme.names())),
            (
                Section::Listener,
                file.listener.iter().map(|raw| raw.name().value).collect(),
            ),
        ]))
    }

    /// Whether there is such a section.
    ///
    /// # Errors
    /// What to do, where there is none.
    pub(crate) fn check(&self, section: Section, name: &str) -> Result<(), String> {
        let known = || self.0.get(&section).into_iter().flatten();
        if known().any(|known| known == name) {
            return Ok(());
        }
        let listed: Vec<_> = known().map(|name| format!("`{name}`")).collect();
        Err(match nearest(name, known().map(String::as_str)) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if listed.is_empty() => {
                format!("add a section [{}.NAME]; there is none", section.heading())
            }
            None => format!("the file has {}", listed.join(", ")),
        })
    }
}
