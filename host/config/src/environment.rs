//! The environment, which goes over the file: `TIDEGATE_<SECTION>_<KEY>` for every key of `[server]`,
//! `[limits]`, `[log]`, `[admin]`, `[maintenance]` and `[plugins]`.

use crate::error::{Error, Errors};
use crate::explain::explain;
use crate::file::File;
use crate::nearest::nearest;
use crate::reference;
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// A variable of the environment that replaces a key of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct EnvKey {
    /// The variable, as in `TIDEGATE_SERVER_THREADS`.
    pub name: String,
    /// The section, as in `server`.
    pub section: String,
    /// The key, as in `threads`.
    pub key: String,
    /// The value without it, as it would stand in the file; empty where there is none.
    pub default: String,
    /// One line.
    pub about: String,
}

/// Every variable that can replace a key, in the order of the reference.
pub fn environment() -> Vec<EnvKey> {
    let schema = reference::schema();
    let mut keys = Vec::new();
    for (section, schema) in reference::properties(&schema) {
        for (key, schema) in reference::properties(schema) {
            keys.push(EnvKey {
                name: format!("{PREFIX}{section}_{key}").to_ascii_uppercase(),
                section: section.clone(),
                key: key.clone(),
                default: schema
                    .get("default")
                    .map(reference::toml)
                    .unwrap_or_default(),
                about: about(schema),
            });
        }
    }
    keys
}

/// The variables that may be meant for us, in a fixed order.
pub(crate) fn variables(env: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut variables: Vec<_> = env
        .into_iter()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    variables.sort();
    variables
}

/// Puts the variables' values into the table of the file.
pub(crate) fn overlay<'i>(
    root: &mut DeTable<'i>,
    variables: &'i [(String, String)],
) -> Result<(), Errors> {
    let known = environment();
    let mut errors = Vec::new();
    for (name, value) in variables {
        match known.iter().find(|key| key.name == *name) {
            Some(key) => match read(key, value) {
                Ok(value) => insert(root, key, value),
                Err(error) => errors.push(error),
            },
            None => errors.extend(unknown(name, &known)),
        }
    }
    Errors::check(errors)
}

/// The first line of a schema's description.
fn about(schema: &Json) -> String {
    let text = schema.get("description").and_then(Json::as_str);
    text.unwrap_or_default().replace('\n', " ")
}

/// The variable's value as the file would have it. Variables have no types, so what looks like a number,
/// a truth value, an array or a table is tried as one first, and then as a string.
fn read<'i>(key: &EnvKey, text: &'i str) -> Result<DeValue<'i>, Error> {
    let string = DeValue::String(DeString::Borrowed(text));
    let typed = DeValue::parse(text)
        .map(|value| unplaced(value.into_inner()))
        .ok()
        .filter(|value| {
            value.is_integer() || value.is_bool() || value.is_array() || value.is_table()
        });
    let Some(typed) = typed else {
        return check(key, &string).map(|()| string);
    };
    match check(key, &typed) {
        Ok(()) => Ok(typed),
        Err(error) => check(key, &string).map(|()| string).map_err(|_| error),
    }
}

/// The value without the places of its parts, which are not places in the file.
fn unplaced(value: DeValue<'_>) -> DeValue<'_> {
    match value {
        DeValue::Array(items) => DeValue::Array(items.into_iter().map(unplaced_part).collect()),
        DeValue::Table(table) => {
            let mut unplaced = DeTable::new();
            for (key, value) in table {
                unplaced.insert(Spanned::new(0..0, key.into_inner()), unplaced_part(value));
            }
            DeValue::Table(unplaced)
        }
        value => value,
    }
}

fn unplaced_part(part: Spanned<DeValue<'_>>) -> Spanned<DeValue<'_>> {
    Spanned::new(0..0, unplaced(part.into_inner()))
}

/// Whether the key accepts the value; a file with this one key says so.
fn check(key: &EnvKey, value: &DeValue<'_>) -> Result<(), Error> {
    let mut root = DeTable::new();
    insert(&mut root, key, value.clone());
    File::from_table(root).map(|_| ()).map_err(|error| {
        let (message, help) = explain(error.message());
        let error = Error::without_place(NAME, format!("{}: {message}", key.name));
        Error { help, ..error }
    })
}

/// Sets the key, in a new section where there is none.
fn insert<'i>(root: &mut DeTable<'i>, key: &EnvKey, value: DeValue<'i>) {
    let place = |name: &str| Spanned::new(0..0, DeString::Owned(name.to_owned()));
    let section = root
        .entry(place(&key.section))
        .or_insert_with(|| Spanned::new(0..0, DeValue::Table(DeTable::new())));
    // A section that is no table is refused a little later, when the file is read.
    if let DeValue::Table(section) = section.get_mut() {
        section.insert(place(&key.key), Spanned::new(0..0, value));
    }
}

/// An error where the variable seems to be meant for us.
fn unknown(name: &str, known: &[EnvKey]) -> Option<Error> {
    let nearest = nearest(name, known.iter().map(|key| key.name.as_str()));
    let rest = known.iter().find_map(|key| {
        let section = format!("{PREFIX}{}_", key.section.to_ascii_uppercase());
        name.strip_prefix(section.as_str())
    });
    // Kubernetes and Docker set `TIDEGATE_ADMIN_SERVICE_HOST`, `TIDEGATE_ADMIN_PORT_80_TCP` and the like
    // for a service of the name `tidegate-admin`.
    let service = rest.is_some_and(|rest| rest.starts_with("SERVICE_") || rest.starts_with("PORT"));
    let ours = rest.is_some() && !service;
    if OTHERS.contains(&name) || !(ours || nearest.is_some()) {
        return None;
    }
    let error = Error::without_place(NAME, format!("unknown variable `{name}`"));
    Some(error.with_help(match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`tidegate config env` lists them".to_owned(),
    }))
}

const PREFIX: &str = "TIDEGATE_";
/// Read by the command line.
const OTHERS: [&str; 2] = ["TIDEGATE_CONFIG", "TIDEGATE_LOG"];
/// Stands where errors name the file.
pub(crate) const NAME: &str = "environment";

#[cfg(test)]
mod tests {
    use super::*;

    fn overlaid(variables: &[(&str, &str)]) -> Result<File, String> {
        let env = variables
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        let variables = super::variables(env);
        let mut root = DeTable::new();
        overlay(&mut root, &variables).map_err(|errors| errors.to_string())?;
        File::from_table(root).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_become_values_of_the_keys_type() {
        let file = overlaid(&[
            ("TIDEGATE_SERVER_THREADS", "3"),
            ("TIDEGATE_LIMITS_BODY_BYTES", "1MiB"),
            ("TIDEGATE_LIMITS_HEADER_BYTES", "65536"),
            ("TIDEGATE_LOG_ACCESS", "false"),
            ("TIDEGATE_LOG_LEVEL", "debug"),
            ("TIDEGATE_ADMIN_ADDRESS", "off"),
            ("TIDEGATE_PLUGINS_ON_FAILURE", "open"),
            ("TIDEGATE_PLUGINS_DIRECTORY", "2026"),
        ])
        .unwrap();
        assert_eq!(file.server.threads, 3);
        assert_eq!(file.limits.body_bytes, 1 << 20);
        assert_eq!(file.limits.header_bytes, 65536);
        assert!(!file.log.access);
        assert_eq!(file.log.level, crate::Level::Debug);
        assert_eq!(file.admin.address, None);
    }

    #[test]
    fn every_variable_takes_its_default() {
        for key in environment() {
            let default = key.default.trim_matches('"');
            if !default.is_empty() {
                overlaid(&[(&key.name, default)]).unwrap();
            }
        }
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        for name in [
            "PATH",
            "TIDEGATE_CONFIG",
            "TIDEGATE_LOG",
            "TIDEGATE_VERSION",
            "TIDEGATE_PORT",
            "TIDEGATE_SERVICE_HOST",
            "TIDEGATE_ADMIN_SERVICE_PORT",
            "TIDEGATE_ADMIN_PORT_80_TCP_ADDR",
        ] {
            assert!(overlaid(&[(name, "x")]).is_ok(), "{name}");
        }
    }

    #[test]
    fn unknown_variables_name_the_nearest() {
        for name in ["TIDEGATE_SERVER_THREAD", "TIDEGATE_SEVER_THREADS"] {
            let error = overlaid(&[(name, "1")]).unwrap_err();
            assert!(
                error.contains("did you mean `TIDEGATE_SERVER_THREADS`?"),
                "{error}"
            );
        }
        assert!(overlaid(&[("TIDEGATE_LOG_COLOUR", "1")]).is_err());
    }
}
