//! Edits of single parameters in a query. Those that are not named stay as they are, byte for byte.

use std::collections::BTreeMap;

use crate::encode;
use crate::template::{Template, Values};

/// What a rule does to parameters: it removes, then sets, then adds.
#[derive(Debug)]
pub(crate) struct ParameterEdits {
    /// Names; one with a `*` at its end stands for all that begin like it.
    pub(crate) remove: Vec<String>,
    pub(crate) set: BTreeMap<String, Template>,
    pub(crate) add: BTreeMap<String, Template>,
}

impl ParameterEdits {
    pub(crate) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// The query with the edits; `None` where nothing is left of it.
    pub(crate) fn apply(&self, query: Option<&str>, values: &Values<'_>) -> Option<String> {
        let old = query.unwrap_or_default().split('&');
        let mut parameters: Vec<String> = old
            .filter(|parameter| !parameter.is_empty() && !self.removes(&name(parameter)))
            .map(str::to_owned)
            .collect();
        for (name, value) in self.set.iter().chain(&self.add) {
            let value = value.render(values, str::to_owned);
            let (name, value) = (encode::parameter(name), encode::parameter(&value));
            parameters.push(format!("{name}={value}"));
        }
        (!parameters.is_empty()).then(|| parameters.join("&"))
    }

    fn removes(&self, name: &str) -> bool {
        let removed = self
            .remove
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == pattern,
            });
        removed || self.set.contains_key(name)
    }
}

/// The name of `name=value`, decoded.
fn name(parameter: &str) -> String {
    let mut decoded = form_urlencoded::parse(parameter.as_bytes());
    decoded
        .next()
        .map_or_else(String::new, |(name, _)| name.into_owned())
}
