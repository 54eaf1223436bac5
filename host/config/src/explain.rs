//! Puts the messages of the TOML parser and of serde into words for the person who wrote the file.

use crate::error::Error;
use crate::located::Span;
use crate::nearest::nearest;
use crate::source::Source;
use toml::de::DeTable;

/// The text as TOML.
///
/// # Errors
/// The first mistake. Where the parser has several for one place, the last is the cause of the others.
pub(crate) fn parse(source: &Source) -> Result<DeTable<'_>, Error> {
    let (root, errors) = DeTable::parse_recoverable(source.text());
    let Some(place) = errors.first().map(toml::de::Error::span) else {
        return Ok(root.into_inner());
    };
    let cause = errors.iter().rfind(|error| error.span() == place);
    cause.map_or_else(
        || Ok(root.into_inner()),
        |cause| Err(toml_error(source, cause)),
    )
}

/// An error of parsing or deserialising, with its position.
pub(crate) fn toml_error(source: &Source, error: &toml::de::Error) -> Error {
    let (message, mut help) = explain(error.message());
    let Some(span) = error.span().map(Span::from) else {
        return Error {
            help,
            ..Error::without_place(&source.path().display().to_string(), message)
        };
    };
    // A table where an array belongs, under a heading of its own.
    if error.message() == TABLE_FOR_ARRAY && source.slice(span).starts_with('[') {
        help = Some(format!("expected [{}]", source.slice(span)));
    }
    // One string where a list belongs: it is a list of one.
    if help.as_deref() == Some("expected an array") && source.slice(span).starts_with('"') {
        help = Some(format!(
            "expected an array: write [{}] in its place",
            source.slice(span)
        ));
    }
    Error {
        help,
        ..source.error(span, message)
    }
}

/// Message and help. The texts taken apart are those of `serde::de::Error`'s provided functions; what is
/// not recognised is shown as it is.
pub(crate) fn explain(text: &str) -> (String, Option<String>) {
    if let Some((message, help)) = text.split_once('\n') {
        return (message.to_owned(), Some(help.to_owned()));
    }
    if let Some((_, message, help)) = SYNTAX.iter().find(|(start, ..)| text.starts_with(start)) {
        return ((*message).to_owned(), Some((*help).to_owned()));
    }
    if let Some((key, expected)) = named(text, "unknown field `") {
        return (format!("unknown key `{key}`"), Some(suggest(key, expected)));
    }
    if let Some((word, expected)) = named(text, "unknown variant `") {
        return (
            format!("unknown value `{word}`"),
            Some(suggest(word, expected)),
        );
    }
    if let Some(key) = text.strip_prefix("missing field `") {
        let key = key.trim_end_matches('`');
        return (format!("missing key `{key}`"), None);
    }
    if let Some((found, expected)) = parts(text, "invalid type: ") {
        let message = format!("wrong type: {}", toml_words(found));
        return (message, Some(format!("expected {}", toml_words(expected))));
    }
    match text.split_once(", expected ") {
        Some((message, expected)) => (message.to_owned(), Some(format!("expected {expected}"))),
        None => (text.to_owned(), None),
    }
}

/// Splits `<prefix>NAME`, expected EXPECTED`, where the prefix ends with a backquote.
fn named<'a>(text: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    let (name, expected) = parts(text, prefix)?;
    Some((name.strip_suffix('`').unwrap_or(name), expected))
}

/// Splits `<prefix>FOUND, expected EXPECTED`.
fn parts<'a>(text: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(prefix)?.split_once(", expected ")
}

/// "expected one of `a`, `b`; did you mean `a`?"
fn suggest(word: &str, expected: &str) -> String {
    // Between backquotes, every second piece is a name.
    let candidates = expected.split('`').skip(1).step_by(2);
    match nearest(word, candidates) {
        Some(name) => format!("expected {expected}; did you mean `{name}`?"),
        None => format!("expected {expected}"),
    }
}

/// Serde's names of types in TOML's words.
fn toml_words(text: &str) -> String {
    match text {
        "map" => "a table".to_owned(),
        "sequence" => "an array".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "an array".to_owned(),
        _ if text.starts_with("struct ") => "a table".to_owned(),
        _ => text.to_owned(),
    }
}

/// Mistakes that are made often and that the parser names in its own terms.
const SYNTAX: [(&str, &str, &str); 5] = [
    (
        "missing escaped value",
        "a backslash has a meaning of its own in \"…\"",
        "write `\\\\`, or '…' around the string, in which nothing is escaped",
    ),
    (
        "invalid basic string",
        "the string does not end",
        "expected `\"`; a string of several lines is written \"\"\"…\"\"\"",
    ),
    (
        "invalid literal string",
        "the string does not end",
        "expected `'`; a string of several lines is written '''…'''",
    ),
    (
        "string values must be quoted",
        "strings need quotes",
        "write \"…\" around it",
    ),
    (
        "duplicate key",
        "this key was given before",
        "remove one of the two",
    ),
];
const TABLE_FOR_ARRAY: &str = "invalid type: map, expected a sequence";
