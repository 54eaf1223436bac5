//! Text with references: `$1`, `${name}`, `${request.host}`.

use regex_lite::{Captures, Regex};
use tidegate_sdk::prelude::*;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    /// What a group of the path's expression matched; nothing, where it took no part.
    Capture(usize),
    Scheme,
    Host,
    Path,
    Query,
}

/// What references stand for.
pub(crate) struct Values<'a> {
    pub(crate) captures: Option<Captures<'a>>,
    pub(crate) request: &'a Request,
}

impl Template {
    /// The expression is the one whose groups may be referred to.
    ///
    /// # Errors
    ///
    /// What is wrong, for the operator.
    pub(crate) fn parse(text: &str, expression: Option<&Regex>) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            parts.push(Part::Text(before.to_owned()));
            let (part, after) = reference(after, expression)?;
            parts.push(part);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self(parts))
    }

    /// The text. `insert` encodes what comes from the request; the query is one already.
    pub(crate) fn render(&self, values: &Values<'_>, insert: fn(&str) -> String) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Capture(index) => {
                    let captured = values
                        .captures
                        .as_ref()
                        .and_then(|groups| groups.get(*index));
                    text.push_str(&insert(captured.map_or("", |group| group.as_str())));
                }
                Part::Scheme => text.push_str(&values.request.scheme()),
                Part::Host => text.push_str(&insert(&values.request.host())),
                Part::Path => text.push_str(&insert(&values.request.path())),
                Part::Query => text.push_str(&values.request.query().unwrap_or_default()),
            }
        }
        text
    }
}

/// What follows a `$`, and what comes after it.
fn reference<'a>(text: &'a str, expression: Option<&Regex>) -> Result<(Part, &'a str), String> {
    if let Some(after) = text.strip_prefix('$') {
        return Ok((Part::Text("$".to_owned()), after));
    }
    if let Some(braced) = text.strip_prefix('{') {
        let (name, after) = braced.split_once('}').ok_or("`${` without a `}`")?;
        return Ok((named(name, expression)?, after));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = text.split_at(digits);
    if digits.is_empty() {
        return Err("a `$` alone, write `$$` for the character, `$1` or `${name}`".to_owned());
    }
    Ok((named(digits, expression)?, after))
}

fn named(name: &str, expression: Option<&Regex>) -> Result<Part, String> {
    match name {
        "request.scheme" => return Ok(Part::Scheme),
        "request.host" => return Ok(Part::Host),
        "request.path" => return Ok(Part::Path),
        "request.query" => return Ok(Part::Query),
        _ => {}
    }
    let expression = expression
        .ok_or_else(|| format!("`${{{name}}}` needs a `match.path` whose group it names"))?;
    let group = match name.parse::<usize>() {
        Ok(index) => Some(index).filter(|index| *index < expression.captures_len()),
        Err(_) => expression
            .capture_names()
            .position(|group| group == Some(name)),
    };
    let part = group.map(Part::Capture);
    part.ok_or_else(|| format!("`{expression}` has no group `{name}`"))
}
