//! From JSON to the plugin's configuration, with errors that say where.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::ConfigError;

impl ConfigError {
    /// A mistake at a place: keys and indexes joined by dots, such as `rules.2.name`; empty for
    /// the whole configuration. The message is one sentence without a full stop.
    pub fn at(path: impl Display, message: impl Display) -> Self {
        Self {
            path: path.to_string(),
            message: message.to_string(),
        }
    }
}

/// For `?` on one mistake in `configure`.
impl From<ConfigError> for Vec<ConfigError> {
    fn from(error: ConfigError) -> Self {
        vec![error]
    }
}

/// Read a configuration.
///
/// # Errors
///
/// The first mistake, at the value that is wrong; for an unknown key, at that key.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Vec<ConfigError>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = dotted(error.path());
        vec![ConfigError::at(path, plain(&error.into_inner()))]
    })
}

fn dotted(path: &Path) -> String {
    let segments: Vec<String> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        })
        .collect();
    segments.join(".")
}

/// Serde's words in an operator's: a key and not a field, and no position in JSON that they never
/// wrote.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&position).unwrap_or(&text);
    for (serde, ours) in WORDS {
        if let Some(rest) = text.strip_prefix(serde) {
            return format!("{ours}{rest}");
        }
    }
    text.to_owned()
}

const WORDS: [(&str, &str); 5] = [
    ("unknown field ", "unknown key "),
    ("missing field ", "missing key "),
    ("duplicate field ", "duplicate key "),
    ("unknown variant ", "unknown value "),
    ("invalid type: ", "wrong type: "),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Config {
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Rule {
        rate: u32,
        #[serde(default)]
        scope: Scope,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Scope {
        #[default]
        Route,
        Plugin,
    }

    fn mistake(json: &str) -> (String, String) {
        let error = parse::<Config>(json).unwrap_err().remove(0);
        (error.path, error.message)
    }

    #[test]
    fn an_unknown_key_is_named_by_the_path() {
        let (path, message) = mistake(r#"{"rules": [{"rate": 1}, {"rat": 1}]}"#);
        assert_eq!(path, "rules.1.rat");
        assert_eq!(message, "unknown key `rat`, expected `rate` or `scope`");
    }

    #[test]
    fn a_wrong_type_is_at_its_value() {
        let (path, message) = mistake(r#"{"rules": [{"rate": "many"}]}"#);
        assert_eq!(path, "rules.0.rate");
        assert_eq!(message, "wrong type: string \"many\", expected u32");
    }

    #[test]
    fn a_missing_key_is_at_its_table() {
        let (path, message) = mistake(r#"{"rules": [{}]}"#);
        assert_eq!(path, "rules.0");
        assert_eq!(message, "missing key `rate`");
    }

    #[test]
    fn an_unknown_value_lists_the_known_ones() {
        let (path, message) = mistake(r#"{"rules": [{"rate": 1, "scope": "all"}]}"#);
        assert_eq!(path, "rules.0.scope");
        assert_eq!(message, "unknown value `all`, expected `route` or `plugin`");
    }
}
