//! Field names as they were written. They are matched in lower case, but what is passed on keeps its letters, for
//! peers that look at them.

use bytes::Bytes;
use http::{Extensions, HeaderName};

/// The lines of a head as they came; travels with the head, among its extensions.
#[derive(Clone, Debug)]
pub(super) struct Spelling(Bytes);

impl Spelling {
    /// Of the fields of a head, without the line before them.
    pub(super) fn new(fields: Bytes) -> Spelling {
        Spelling(fields)
    }
}

/// Finds the spelling of one field after the other, in about the order in which they came.
pub(super) struct Speller<'a> {
    lines: &'a [u8],
    /// What comes next, if the fields are as they came.
    rest: &'a [u8],
    /// All names, once a field was not the next one.
    names: Option<Vec<&'a [u8]>>,
}

impl<'a> Speller<'a> {
    /// Of a head with these extensions.
    pub(super) fn new(extensions: &'a Extensions) -> Speller<'a> {
        let spelling = extensions.get::<Spelling>();
        let lines = spelling.map_or(&[][..], |spelling| &spelling.0);
        Speller {
            lines,
            rest: lines,
            names: None,
        }
    }

    /// How this name was written; in lower case, where it came with nobody's head.
    pub(super) fn spell(&mut self, name: &'a HeaderName) -> &'a [u8] {
        let lower = name.as_str().as_bytes();
        if let Some((next, rest)) = next_name(self.rest)
            && next.eq_ignore_ascii_case(lower)
        {
            self.rest = rest;
            return next;
        }
        let lines = self.lines;
        let names = self.names.get_or_insert_with(|| names(lines).collect());
        let found = names.iter().find(|name| name.eq_ignore_ascii_case(lower));
        found.copied().unwrap_or(lower)
    }
}

fn names(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let (name, after) = next_name(rest)?;
        rest = after;
        Some(name)
    })
}

/// The name of the next field, and the lines after it. What a folded line goes on with has no name.
fn next_name(mut lines: &[u8]) -> Option<(&[u8], &[u8])> {
    loop {
        let end = memchr::memchr(b'\n', lines)?;
        let (line, rest) = lines.split_at_checked(end + 1)?;
        lines = rest;
        if line.first().is_some_and(|first| b" \t".contains(first)) {
            continue;
        }
        let name = line.get(..memchr::memchr(b':', line)?)?;
        return Some((name.trim_ascii_end(), rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_they_came() {
        let mut extensions = Extensions::new();
        let lines = b"Host: a\r\nX-Mine: 1\r\nfolded: a\r\n b: c\r\nX-Gone: 1\r\nETag : x\r\nx-mine: 2\r\n\r\n";
        extensions.insert(Spelling::new(Bytes::from_static(lines)));
        let mut speller = Speller::new(&extensions);
        let fields = ["host", "x-mine", "folded", "etag", "x-mine", "x-new"];
        let names = fields.map(HeaderName::from_static);
        let written = ["Host", "X-Mine", "folded", "ETag", "X-Mine", "x-new"];
        for (name, written) in names.iter().zip(written) {
            assert_eq!(str::from_utf8(speller.spell(name)), Ok(written));
        }
        let none = Extensions::new();
        assert_eq!(Speller::new(&none).spell(&names[0]), b"host");
    }
}
