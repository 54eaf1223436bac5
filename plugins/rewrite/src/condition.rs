//! When a rule applies.

use std::collections::BTreeMap;

use regex_lite::{Captures, Regex, RegexBuilder};
use tidegate_sdk::prelude::*;

/// The most bytes of an expression, and of what it compiles to.
const LONGEST: usize = 1024;
const LARGEST: usize = 64 * 1024;

/// Groups within groups of an expression. They are compiled by recursion, and a plugin's stack is small.
const DEEPEST: u32 = 24;

/// A rule's `match`: all that is there holds.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    /// The path, as the rules before have left it.
    pub(crate) path: Option<Expression>,
    /// The host that the client asked for: a name, or `*.` and a domain.
    host: Option<String>,
    methods: Option<Vec<String>>,
    /// Parameters that are there, with a value that fits.
    #[serde(default)]
    query: BTreeMap<String, Expression>,
}

/// A regular expression, of bounded size. Matching takes time in proportion to the text.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Expression(pub(crate) Regex);

impl TryFrom<String> for Expression {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("is too long, expected at most {LONGEST} bytes"));
        }
        let built = RegexBuilder::new(&text)
            .size_limit(LARGEST)
            .nest_limit(DEEPEST)
            .build();
        built
            .map(Self)
            .map_err(|error| format!("`{text}` is not a regular expression: {error}"))
    }
}

impl Condition {
    /// `None` where it does not hold; otherwise what the path's groups matched.
    pub(crate) fn holds<'a>(
        &self,
        request: &Request,
        path: &'a str,
        query: Option<&str>,
    ) -> Option<Option<Captures<'a>>> {
        if let Some(methods) = &self.methods
            && !methods.contains(&request.method())
        {
            return None;
        }
        if let Some(pattern) = &self.host
            && !is_host(&request.host(), pattern)
        {
            return None;
        }
        let query = query.unwrap_or_default();
        if !self
            .query
            .iter()
            .all(|(name, value)| has_parameter(query, name, value))
        {
            return None;
        }
        match &self.path {
            Some(expression) => Some(Some(expression.0.captures(path)?)),
            None => Some(None),
        }
    }
}

fn is_host(host: &str, pattern: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(domain) => {
            let at = host.len().saturating_sub(domain.len());
            let end = host.get(at..);
            at > 0 && end.is_some_and(|end| end.eq_ignore_ascii_case(domain))
        }
        None => host.eq_ignore_ascii_case(pattern),
    }
}

fn has_parameter(query: &str, wanted: &str, value: &Expression) -> bool {
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    parameters.any(|(name, found)| name == wanted && value.0.is_match(&found))
}
