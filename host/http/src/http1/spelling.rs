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

    fn name(&self, place: usize) -> Option<&[u8]> {
        self.head.get(self.names.get(place)?.clone())
    }
}

/// Finds the spelling of one field after the other, in about the order in which they came.
pub(super) struct Speller<'a> {
    spelling: &'a Spelling,
    /// The place of the next name, if the fields are as they came.
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
        // Names that are gone are passed over, those that came twice are looked for from the beginning.
        let all = spelling.names.len();
        let places = (self.next..all).chain(0..self.next);
        let found = places.into_iter().find_map(|place| {
            let spelled = spelling.name(place)?;
            spelled
                .eq_ignore_ascii_case(lower)
                .then_some((place, spelled))
        });
        let Some((place, spelled)) = found else {
            return lower;
        };
        self.next = place + 1;
        spelled
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
        let written = ["Host", "X-Mine", "folded", "ETag", "x-mine", "x-new"];
        for (name, written) in names.iter().zip(written) {
            assert_eq!(str::from_utf8(speller.spell(name)), Ok(written));
        }
        let none = Spelling::default();
        assert_eq!(Speller::new(&none).spell(&names[0]), b"host");
    }
}
