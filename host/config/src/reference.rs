//! The reference and the schema, both made from the types that read the file: field comments are the
//! texts, defaults are the defaults. Checked in as `config/reference.toml` and `config/schema.json`.

use crate::file::File;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, SchemaGenerator};
use serde_json::Value as Json;

/// The JSON Schema (draft 7, which editors of TOML understand) of the file.
pub fn schema() -> Json {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<File>();
    RecursiveTransform(without_null).transform(&mut schema);
    schema.to_value()
}

/// Every key with its default and what it does, as a file that loads. Keys without a default, and
/// alternatives, are commented out and show an example.
pub fn reference() -> String {
    let mut reference = Reference {
        text: INTRODUCTION.to_owned(),
    };
    for (name, schema) in properties(&schema()) {
        reference.section(name, schema);
    }
    reference.text
}

/// The properties of an object, in the order of the file; none for other schemas.
pub(crate) fn properties(schema: &Json) -> impl Iterator<Item = (&String, &Json)> {
    schema
        .get("properties")
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
}

/// A JSON value as TOML, in one line.
pub(crate) fn toml(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(table) => {
            let pairs: Vec<_> = table
                .iter()
                .map(|(key, value)| format!("{key} = {}", toml(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        // Of these, JSON's notation is TOML's, but for characters that the file does not have.
        Json::Bool(_) | Json::Number(_) | Json::String(_) => value.to_string(),
    }
}

/// TOML has no null: what may be absent is absent.
fn without_null(schema: &mut Schema) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    schema.retain(|key, value| key != "default" || !value.is_null());
    if let Some(Json::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Json::Array(options)) = schema.get_mut("anyOf") {
        options.retain(|option| option.get("type").is_none_or(|name| name != "null"));
        if let [Json::Object(only)] = options.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            // What a field says of itself goes before what its type says.
            for (key, value) in only {
                schema.entry(key).or_insert(value);
            }
        }
    }
    if let Some(Json::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
}

/// What stands before a line.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Active,
    Commented,
}

struct Reference {
    text: String,
}

impl Reference {
    fn section(&mut self, name: &str, schema: &Json) {
        self.text.push('\n');
        self.about(schema);
        let shown = shown(name, Shown::Active);
        if let Some(items) = schema.get("items") {
            self.table(&format!("[[{name}]]"), name, items, shown);
        } else {
            self.named_or_plain(name, schema, shown);
        }
    }

    /// A table, or one of those whose names the user chooses.
    fn named_or_plain(&mut self, path: &str, schema: &Json, shown: Shown) {
        match named(schema) {
            Some(values) => {
                let key = path.rsplit('.').next().unwrap_or(path);
                let path = format!("{path}.{}", example_name(key));
                self.table(&format!("[{path}]"), &path, values, shown);
            }
            None => self.table(&format!("[{path}]"), path, schema, shown),
        }
    }

    /// The heading, the plain keys, then the tables inside.
    fn table(&mut self, heading: &str, path: &str, schema: &Json, shown: Shown) {
        self.line(shown, heading);
        // A section of plain keys that the user chooses.
        if let Some(example) = schema.pointer("/examples/0").and_then(Json::as_object) {
            for (key, value) in example {
                self.line(Shown::Commented, &format!("{key} = {}", toml(value)));
            }
        }
        for (key, value) in properties(schema).filter(|(_, value)| !is_table(value)) {
            self.about(value);
            let written = value.get("default").filter(|default| !is_empty(default));
            match written {
                Some(default) if shown == Shown::Active => {
                    self.line(Shown::Active, &format!("{key} = {}", toml(default)));
                }
                _ => {
                    let shown = if required(schema, key) {
                        shown
                    } else {
                        Shown::Commented
                    };
                    let example = value.get("examples").and_then(|examples| examples.get(0));
                    let value = toml(written.or(example).unwrap_or(&Json::Null));
                    self.line(shown, &format!("{key} = {value}"));
                }
            }
        }
        for (key, value) in properties(schema).filter(|(_, value)| is_table(value)) {
            self.text.push('\n');
            self.about(value);
            let path = format!("{path}.{key}");
            let shown = if alternative(schema, key) {
                Shown::Commented
            } else {
                self::shown(&path, shown)
            };
            self.named_or_plain(&path, value, shown);
        }
    }

    fn about(&mut self, schema: &Json) {
        let text = schema.get("description").and_then(Json::as_str);
        for line in text.unwrap_or_default().lines() {
            self.text.push_str(&format!("# {line}\n"));
        }
    }

    fn line(&mut self, shown: Shown, line: &str) {
        if shown == Shown::Commented {
            self.text.push('#');
        }
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// A table with keys of ours, or of such tables; one whose values the user chooses too is shown in one line.
fn is_table(schema: &Json) -> bool {
    schema.get("properties").is_some() || named(schema).is_some()
}

/// What stands under each name, where users choose the names of tables.
fn named(schema: &Json) -> Option<&Json> {
    schema
        .get("additionalProperties")
        .filter(|values| values.get("properties").is_some())
}

/// A section that is left out, and all in it, is commented out.
fn shown(path: &str, around: Shown) -> Shown {
    if OPTIONAL.contains(&path) {
        Shown::Commented
    } else {
        around
    }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Array(items) => items.is_empty(),
        Json::Object(table) => table.is_empty(),
        value => value.is_null(),
    }
}

/// Whether the key must be there: always, or as the first of several alternatives.
fn required(schema: &Json, key: &str) -> bool {
    let first = schema
        .get("oneOf")
        .and_then(|alternatives| alternatives.get(0));
    [Some(schema), first]
        .into_iter()
        .flatten()
        .any(|schema| requires(schema, key))
}

/// Whether the key is an alternative to the one that is shown.
fn alternative(schema: &Json, key: &str) -> bool {
    let alternatives = schema.get("oneOf").and_then(Json::as_array);
    alternatives
        .into_iter()
        .flatten()
        .skip(1)
        .any(|schema| requires(schema, key))
}

fn requires(schema: &Json, key: &str) -> bool {
    let keys = schema.get("required").and_then(Json::as_array);
    keys.is_some_and(|keys| keys.iter().any(|required| required == key))
}

/// A name for a section whose name the user chooses; other examples refer to it.
fn example_name(section: &str) -> &'static str {
    match section {
        "plugin" => "rate-limit",
        "kv" => "sessions",
        "redis" => "main",
        "secret" => "token",
        "acme" => "letsencrypt",
        "sni" => "\"admin.example.com\"",
        _ => "app",
    }
}

/// Sections that stand for something outside, which a reader of the reference does not have, and those that
/// turn something on.
const OPTIONAL: [&str; 7] = [
    "kv",
    "redis",
    "secret",
    "acme",
    "listener.proxy_protocol",
    "listener.tls",
    "upstream.app.tls",
];

const INTRODUCTION: &str = "\
# Every key of Tidegate's configuration, with its default and what it does.
#
# This file is made from the program (`tidegate config default`) and loads as it stands. A line that begins
# with `#` and no space shows an example of a key that has no default, or belongs to a section that is left
# out. Unknown keys are errors. Durations are written \"250ms\", \"30s\", \"1m30s\"; sizes \"64KiB\", \"32MiB\",
# \"1GiB\" or a number of bytes. The keys of the first six sections can be set from the environment too:
# TIDEGATE_<SECTION>_<KEY>, which goes before the file. Arrays and tables are written there as here.
";
