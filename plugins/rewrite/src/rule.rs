//! Rules: as written, and as they are applied.

use std::collections::BTreeMap;

use regex_lite::Regex;
use tidegate_sdk::prelude::*;

use crate::Target;
use crate::condition::Condition;
use crate::encode;
use crate::location::{Location, is_authority};
use crate::parameters::ParameterEdits;
use crate::template::{Template, Values};

/// One rule, as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRule {
    #[serde(default, rename = "match")]
    condition: Condition,
    /// The beginning that is taken from the path. The rule applies where it is there.
    strip_prefix: Option<String>,
    /// The new path, with references.
    path: Option<String>,
    /// What comes before the path.
    add_prefix: Option<String>,
    /// The new query, with references.
    query: Option<String>,
    #[serde(default)]
    remove_query: Vec<String>,
    #[serde(default)]
    set_query: BTreeMap<String, String>,
    #[serde(default)]
    add_query: BTreeMap<String, String>,
    /// The `host` that the upstream gets.
    host: Option<String>,
    /// Answer with this status and `location`.
    redirect: Option<u16>,
    location: Option<String>,
    /// What comes after the rule, where it applied.
    #[serde(default)]
    then: Then,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Then {
    #[default]
    Continue,
    Stop,
}

/// A rule that can be applied.
pub(crate) struct Rule {
    pub(crate) condition: Condition,
    pub(crate) effect: Effect,
    pub(crate) stops: bool,
}

pub(crate) enum Effect {
    Redirect { status: u16, location: Location },
    Rewrite(Change),
}

/// What a rule does to the target, in this order.
pub(crate) struct Change {
    strip_prefix: Option<String>,
    path: Option<Template>,
    add_prefix: Option<String>,
    query: Option<Template>,
    parameters: ParameterEdits,
    host: Option<String>,
}

/// The key of the rule that is wrong, with a dot in front, or nothing for the rule; and what is
/// wrong.
type Mistake = (String, String);

impl Rule {
    pub(crate) fn new(raw: RawRule) -> Result<Self, Mistake> {
        let expression = raw.condition.path.as_ref().map(|expression| &expression.0);
        let stops = raw.then == Then::Stop;
        let (redirect, location) = (raw.redirect, raw.location.clone());
        let effect = match (redirect, location) {
            (None, None) => Effect::Rewrite(Change::new(&raw, expression)?),
            (Some(_), None) => return Err(mistake("", "missing key `location`")),
            (None, Some(_)) => return Err(mistake("", "missing key `redirect`")),
            (Some(status), Some(location)) => {
                if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                    return Err(mistake("redirect", "expected 301, 302, 303, 307 or 308"));
                }
                if raw.rewrites() {
                    return Err(mistake(
                        "redirect",
                        "ends the request, so nothing else can be changed",
                    ));
                }
                let location = Location::parse(&location, expression)
                    .map_err(|message| mistake("location", message))?;
                Effect::Redirect { status, location }
            }
        };
        Ok(Self {
            condition: raw.condition,
            effect,
            stops,
        })
    }
}

impl RawRule {
    /// Whether it has a key that changes the request.
    fn rewrites(&self) -> bool {
        let prefixes = self.strip_prefix.is_some() || self.add_prefix.is_some();
        let parameters = !self.remove_query.is_empty()
            || !self.set_query.is_empty()
            || !self.add_query.is_empty();
        let whole = self.path.is_some() || self.query.is_some() || self.host.is_some();
        prefixes || parameters || whole
    }
}

impl Change {
    fn new(raw: &RawRule, expression: Option<&Regex>) -> Result<Self, Mistake> {
        if !raw.rewrites() {
            let message = "expected `path`, `strip_prefix`, `add_prefix`, `query`, `set_query`, \
                           `add_query`, `remove_query`, `host` or `redirect`";
            return Err(mistake("", message));
        }
        if raw.path.is_some() && raw.strip_prefix.is_some() {
            return Err(mistake(
                "strip_prefix",
                "does nothing beside `path`, which replaces the path",
            ));
        }
        if let Some(host) = raw.host.as_ref().filter(|host| !is_authority(host)) {
            return Err(mistake("host", format!("`{host}` is not a host")));
        }
        let change = Self {
            strip_prefix: prefix("strip_prefix", raw.strip_prefix.as_deref())?,
            path: template("path", raw.path.as_deref(), expression)?,
            add_prefix: prefix("add_prefix", raw.add_prefix.as_deref())?,
            query: template("query", raw.query.as_deref(), expression)?,
            parameters: ParameterEdits {
                remove: raw.remove_query.clone(),
                set: templates("set_query", &raw.set_query, expression)?,
                add: templates("add_query", &raw.add_query, expression)?,
            },
            host: raw.host.clone(),
        };
        Ok(change)
    }

    /// False where the prefix to strip is not there; then nothing was done.
    pub(crate) fn apply(&self, target: &mut Target, values: &Values<'_>) -> bool {
        if let Some(prefix) = &self.strip_prefix {
            let rest = target.path.strip_prefix(prefix.as_str());
            match rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
                Some(rest) => target.path = encode::path(rest),
                None => return false,
            }
        }
        if let Some(path) = &self.path {
            target.path = encode::path(&path.render(values, encode::path_text));
        }
        if let Some(prefix) = &self.add_prefix {
            target.path = encode::path(&format!("{prefix}{}", target.path));
        }
        if let Some(query) = &self.query {
            let query = encode::query(&query.render(values, encode::parameter));
            target.query = Some(query).filter(|query| !query.is_empty());
        }
        if !self.parameters.is_empty() {
            target.query = self.parameters.apply(target.query.as_deref(), values);
        }
        if let Some(host) = &self.host {
            target.host = Some(host.clone());
        }
        true
    }
}

fn template(
    key: &str,
    text: Option<&str>,
    expression: Option<&Regex>,
) -> Result<Option<Template>, Mistake> {
    let parsed = text
        .map(|text| Template::parse(text, expression))
        .transpose();
    parsed.map_err(|message| mistake(key, message))
}

fn templates(
    key: &str,
    texts: &BTreeMap<String, String>,
    expression: Option<&Regex>,
) -> Result<BTreeMap<String, Template>, Mistake> {
    let parse = |(name, text): (&String, &String)| match Template::parse(text, expression) {
        Ok(template) => Ok((name.clone(), template)),
        Err(message) => Err(mistake(&format!("{key}.{name}"), message)),
    };
    texts.iter().map(parse).collect()
}

/// A path without the slash at its end.
fn prefix(key: &str, text: Option<&str>) -> Result<Option<String>, Mistake> {
    let Some(text) = text else { return Ok(None) };
    let clean = encode::path(text);
    let clean = clean.trim_end_matches('/');
    if !text.starts_with('/') || clean.is_empty() {
        return Err(mistake(
            key,
            format!("`{text}` is not a prefix, expected one such as `/api`"),
        ));
    }
    Ok(Some(clean.to_owned()))
}

fn mistake(key: &str, message: impl Into<String>) -> Mistake {
    let key = if key.is_empty() {
        String::new()
    } else {
        format!(".{key}")
    };
    (key, message.into())
}
