//! The configuration of a plugin in one route: JSON for the plugin, positions for its author's mistakes.

use crate::located::{Located, Span};
use crate::resolve::Resolver;
use crate::source::Source;
use serde_json::Value as Json;
use toml::Value as Toml;

/// What one route tells one plugin.
#[derive(Debug, Clone)]
pub struct PluginConfig {
    json: String,
    source: Source,
    /// The path to the table, for [`Source::locate`].
    place: String,
    span: Span,
}

impl PluginConfig {
    /// No configuration was written; errors point at the plugin's name.
    pub(crate) fn empty(source: &Source, place: String, name: Span) -> Self {
        Self {
            json: "{}".to_owned(),
            source: source.clone(),
            place,
            span: name,
        }
    }

    pub(crate) fn new(table: Located<toml::Table>, place: String, resolver: &mut Resolver) -> Self {
        let json = json(Toml::Table(table.value)).unwrap_or_else(|| {
            resolver.reject(
                table.span,
                "`inf` and `nan` cannot be handed to a plugin",
                "expected finite numbers, as plugins get their configuration as JSON",
            );
            Json::Null
        });
        Self {
            json: json.to_string(),
            source: resolver.source().clone(),
            place,
            span: table.span,
        }
    }

    /// The table as JSON; `{}` where there is none. Dates and times are strings, keys are sorted, so
    /// equal tables give equal texts.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Where a value stands, by the path that a plugin reports: keys and indexes joined by dots, as in
    /// `rules.2.name`. From the key to the end of the value; where that does not exist, the nearest thing
    /// around it that does; where nothing was configured, the plugin's name.
    pub fn locate(&self, path: &str) -> Span {
        if path.is_empty() {
            return self.span;
        }
        // Parsed again, as this happens once per mistake and a tree of positions would be kept for ever.
        self.source
            .locate(&format!("{}.{path}", self.place))
            .filter(|span| span.start >= self.span.start)
            .unwrap_or(self.span)
    }
}

/// By what the plugin gets: moving a route in the file does not change its plugins.
impl PartialEq for PluginConfig {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

/// `None` where there is a number that JSON does not have.
fn json(toml: Toml) -> Option<Json> {
    Some(match toml {
        Toml::String(text) => Json::String(text),
        Toml::Integer(number) => Json::from(number),
        Toml::Float(number) => Json::Number(serde_json::Number::from_f64(number)?),
        Toml::Boolean(truth) => Json::Bool(truth),
        Toml::Datetime(datetime) => Json::String(datetime.to_string()),
        Toml::Array(items) => Json::Array(items.into_iter().map(json).collect::<Option<_>>()?),
        Toml::Table(table) => {
            // Sorted here, as either library may be built to keep the order of insertion.
            let mut entries: Vec<_> = table.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            let entries = entries
                .into_iter()
                .map(|(key, value)| Some((key, json(value)?)));
            Json::Object(entries.collect::<Option<_>>()?)
        }
    })
}
