//! Field names as they were written. They are matched in lower case, but what is passed on keeps its letters, for
//! peers that look at them.

use bytes::Bytes;
use http::HeaderName;
use std::ops::Range;

/// The names of a head's fields, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spelling {
    head: Bytes,
    names: Vec<Range<usize>>,
}

impl Spelling {
    /// Of a head, in which the names stand there.
    pub(super) fn new(head: Bytes, names: Vec<Range<usize>>) -> Spelling {
        Spelling { head, names }
    }

    fn names(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.names.iter();
        names.filter_map(|place| self.head.get(place.clone()))
    }
}

/// Finds the spelling of one field after the other, in about the order in which they came.
pub(super) struct Speller<'a> {
    spelling: &'a Spelling,
    /// How many names came before the next, if the fields are as they came.
    next: usize,
}

impl<'a> Speller<'a> {
    pub(super) fn new(spelling: &'a Spelling) -> Speller<'a> {
        Speller { spelling, next: 0 }
    }

    /// How this name was written; in lower case, where it did not come with the head.
    pub(super) fn spell(&mut self, name: &'a HeaderName) -> &'a [u8] {
        let lower = name.as_str().as_bytes();
        let spelling = self.spelling;
        let is_it = |spelled: &&[u8]| spelled.eq_ignore_ascii_case(lower);
        let place = spelling.names.get(self.next);
        let next = place.and_then(|place| spelling.head.get(place.clone()));
        if let Some(next) = next.filter(is_it) {
            self.next += 1;
            return next;
        }
        spelling.names().find(is_it).unwrap_or(lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_they_came() {
        let head = "Host X-Mine folded X-Gone ETag x-mine";
        let places = head.split(' ').map(|name| {
            let at = name.as_ptr() as usize - head.as_ptr() as usize;
            at..at + name.len()
        });
        let spelling = Spelling::new(head.into(), places.collect());
        let mut speller = Speller::new(&spelling);
        let fields = ["host", "x-mine", "folded", "etag", "x-mine", "x-new"];
        let names = fields.map(HeaderName::from_static);
        let written = ["Host", "X-Mine", "folded", "ETag", "X-Mine", "x-new"];
        for (name, written) in names.iter().zip(written) {
            assert_eq!(str::from_utf8(speller.spell(name)), Ok(written));
        }
        let none = Spelling::default();
        assert_eq!(Speller::new(&none).spell(&names[0]), b"host");
    }
}
