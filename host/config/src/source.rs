//! The file itself: where it is, what it says, and how a range of bytes becomes an error with a position.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::located::Span;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A configuration file's path and text. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    path: Arc<Path>,
    text: Arc<str>,
}

impl Source {
    /// A text, and the path that errors name and that relative paths are relative to.
    pub fn new(path: impl AsRef<Path>, text: impl Into<Arc<str>>) -> Self {
        Self {
            path: path.as_ref().into(),
            text: text.into(),
        }
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A path of the file, absolute; relative paths are relative to the file's folder.
    pub fn resolve_path(&self, path: impl AsRef<Path>) -> PathBuf {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let joined = folder.join(path);
        // Fails where the path is empty or the current folder is gone; then the opening of the file says so.
        std::path::absolute(&joined).unwrap_or(joined)
    }

    /// An error at a place.
    pub fn error(&self, span: Span, message: impl Into<String>) -> Error {
        let start = self.text.floor_char_boundary(span.start);
        let (before, after) = self.text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let (_, head) = before.split_at(line_start);
        let tail = after.split(['\n', '\r']).next().unwrap_or_default();
        let marked = after
            .get(..span.end.saturating_sub(start))
            .unwrap_or_default();
        let marked = marked.chars().take(tail.chars().count()).count().max(1);
        let line = before.matches('\n').count() + 1;
        Error {
            file: self.path.display().to_string(),
            line,
            column: head.chars().count() + 1,
            message: message.into(),
            help: None,
            snippet: snippet(line, head, tail, marked),
        }
    }

    /// The text at a place; empty where there is no such place.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Where a value stands: `path` is keys and indexes joined by dots, as in `route.0.match.host`. Where
    /// it does not exist, the nearest thing around it that does.
    pub(crate) fn locate(&self, path: &str) -> Option<Span> {
        let root = DeTable::parse(&self.text).ok()?.into_inner();
        let mut at = step_into_table(&root, path)?;
        while let Some(deeper) = at.step() {
            at = deeper;
        }
        Some(at.span)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({})", self.path.display())
    }
}

/// The line and a mark under it. Of a long line only the surroundings are shown.
fn snippet(line: usize, head: &str, tail: &str, marked: usize) -> String {
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let cut = head.chars().count().saturating_sub(WIDTH / 2);
    let head: String = head.chars().skip(cut).map(printable).collect();
    let tail: String = tail.chars().take(WIDTH).map(printable).collect();
    let indent = " ".repeat(head.chars().count());
    let mark = "^".repeat(marked.min(WIDTH));
    format!("{gutter} |\n{number} | {head}{tail}\n{gutter} | {indent}{mark}")
}

/// Tabs would move the mark, and a file should not control the terminal.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

const WIDTH: usize = 120;

/// A value that was reached, and what is left of the path.
struct Step<'t, 'p> {
    value: &'t DeValue<'t>,
    span: Span,
    rest: &'p str,
}

impl<'t, 'p> Step<'t, 'p> {
    fn step(&self) -> Option<Step<'t, 'p>> {
        match self.value {
            DeValue::Table(table) => step_into_table(table, self.rest),
            DeValue::Array(array) => {
                let (index, rest) = self.rest.split_once('.').unwrap_or((self.rest, ""));
                let value: &Spanned<DeValue<'_>> = array.get(index.parse::<usize>().ok()?)?;
                Some(Step {
                    value: value.get_ref(),
                    span: value.span().into(),
                    rest,
                })
            }
            _ => None,
        }
    }
}

/// Keys may contain dots themselves, so the longest key that fits is taken.
fn step_into_table<'t, 'p>(table: &'t DeTable<'t>, path: &'p str) -> Option<Step<'t, 'p>> {
    table
        .iter()
        .filter_map(|(key, value)| {
            let rest = path.strip_prefix(key.get_ref().as_ref())?;
            let rest = if rest.is_empty() {
                rest
            } else {
                rest.strip_prefix('.')?
            };
            // From the key to the end of the value: a wrong key and a wrong value are both marked. The
            // value of a section is its heading, which the key stands in.
            let (key, written) = (key.span(), value.span());
            let end = if written.start > key.start {
                written.end
            } else {
                key.end
            };
            let span = Span {
                start: key.start,
                end,
            };
            Some(Step {
                value: value.get_ref(),
                span,
                rest,
            })
        })
        .min_by_key(|step| step.rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, path: &str) -> String {
        let source = Source::new("f.toml", text);
        let span = source.locate(path).unwrap();
        source.text()[span.start..span.end].to_owned()
    }

    #[test]
    fn finds_keys_items_and_the_nearest_thing_around() {
        let text = "a = { list = [1, { b = 2 }], \"x.y\" = 3 }\n";
        assert_eq!(shown(text, "a.list.1.b"), "b = 2");
        assert_eq!(shown(text, "a.list.0"), "1");
        assert_eq!(shown(text, "a.x.y"), "\"x.y\" = 3");
        assert_eq!(shown(text, "a.list.1.c"), "{ b = 2 }");
        assert_eq!(shown(text, "a.list.9"), "list = [1, { b = 2 }]");
    }

    #[test]
    fn positions_count_characters_and_survive_any_span() {
        let source = Source::new("f.toml", "é = 1\r\n\tä = 2");
        let error = source.error(Span { start: 9, end: 11 }, "m");
        assert_eq!((error.line, error.column), (2, 2));
        assert_eq!(error.snippet, "  |\n2 |  ä = 2\n  |  ^");
        for start in 0..30 {
            for end in 0..30 {
                source.error(Span { start, end }, "m");
            }
        }
    }
}
