//! Search and replace of literal text in a stream, in constant memory.
//!
//! Of the places where a pattern matches the leftmost counts, and of the patterns that match there the
//! longest. What was put in is not searched again. The result does not depend on how the stream is
//! cut: a place is decided once as many bytes as the longest pattern has are in sight, and what is not
//! decided is held, at most that length less one.

use std::collections::BTreeSet;

use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::noncontiguous::NFA;
use aho_corasick::{Input, Match, MatchKind};
use tidegate_sdk::prelude::*;

/// The most replacements of one configuration.
const MOST: usize = 64;
/// The most bytes of a pattern and of what is put in its place.
const LONGEST: usize = 1024;

/// One replacement, as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replacement {
    /// What to search.
    find: String,
    /// What to put in its place.
    with: String,
}

/// All replacements, ready to search.
pub(crate) struct Replacements {
    automaton: NFA,
    with: Vec<Vec<u8>>,
    /// Bytes of the longest pattern.
    longest: usize,
}

impl Replacements {
    /// `None` where the list is empty.
    ///
    /// # Errors
    ///
    /// The first replacement that cannot be, at its place below `replace`.
    pub(crate) fn new(list: Vec<Replacement>) -> Result<Option<Self>, ConfigError> {
        check(&list)?;
        if list.is_empty() {
            return Ok(None);
        }
        let automaton = NFA::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(list.iter().map(|one| &one.find))
            .map_err(|error| ConfigError::at("replace", format!("cannot be searched: {error}")))?;
        Ok(Some(Self {
            longest: automaton.max_pattern_len(),
            automaton,
            with: list.into_iter().map(|one| one.with.into()).collect(),
        }))
    }

    /// What may go on once `data` is there; what may not yet stays in `held`.
    pub(crate) fn apply(&self, held: &mut Vec<u8>, data: &[u8], end: bool) -> Vec<u8> {
        held.extend_from_slice(data);
        // A match that begins before this is decided: a longer one would be in sight.
        let decided = match end {
            true => held.len(),
            false => (held.len() + 1).saturating_sub(self.longest),
        };
        let mut out = Vec::with_capacity(held.len());
        let mut at = 0;
        while let Some(found) = self.find(held, at).filter(|found| found.start() < decided) {
            out.extend_from_slice(held.get(at..found.start()).unwrap_or_default());
            let with = self.with.get(found.pattern().as_usize());
            out.extend_from_slice(with.map_or(&[], Vec::as_slice));
            at = found.end();
        }
        let gone = decided.max(at);
        out.extend_from_slice(held.get(at..gone).unwrap_or_default());
        held.drain(..gone);
        out
    }

    fn find(&self, bytes: &[u8], from: usize) -> Option<Match> {
        let input = Input::new(bytes).range(from..);
        self.automaton.try_find(&input).ok().flatten()
    }
}

fn check(list: &[Replacement]) -> Result<(), ConfigError> {
    if list.len() > MOST {
        return Err(ConfigError::at(
            "replace",
            format!("expected at most {MOST} replacements"),
        ));
    }
    let mut known = BTreeSet::new();
    for (index, one) in list.iter().enumerate() {
        let at = |key: &str, message: String| {
            Err(ConfigError::at(format!("replace.{index}.{key}"), message))
        };
        if one.find.is_empty() {
            return at("find", "is empty, expected text to search".to_owned());
        }
        if one.find.len() > LONGEST {
            return at(
                "find",
                format!("is too long, expected at most {LONGEST} bytes"),
            );
        }
        if one.with.len() > LONGEST {
            return at(
                "with",
                format!("is too long, expected at most {LONGEST} bytes"),
            );
        }
        if !known.insert(one.find.as_str()) {
            return at("find", format!("`{}` is already searched", one.find));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replacements(pairs: &[(String, String)]) -> Replacements {
        let list = pairs.iter().map(|(find, with)| Replacement {
            find: find.clone(),
            with: with.clone(),
        });
        Replacements::new(list.collect()).unwrap().unwrap()
    }

    /// Through `apply` in pieces of these sizes, in turn.
    fn in_pieces(replacements: &Replacements, mut body: &[u8], sizes: &[usize]) -> Vec<u8> {
        let (mut held, mut out) = (Vec::new(), Vec::new());
        for size in sizes.iter().cycle() {
            let (piece, rest) = body.split_at((*size).min(body.len()));
            out.extend(replacements.apply(&mut held, piece, rest.is_empty()));
            assert!(held.len() < replacements.longest);
            body = rest;
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(held, b"");
        out
    }

    /// The definition: at each place the longest pattern that fits there, or one byte further.
    fn reference(pairs: &[(String, String)], body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = body;
        while let Some((&byte, after)) = rest.split_first() {
            let fits = pairs
                .iter()
                .filter(|(find, _)| rest.starts_with(find.as_bytes()));
            match fits.max_by_key(|(find, _)| find.len()) {
                Some((find, with)) => {
                    out.extend(with.bytes());
                    rest = &rest[find.len()..];
                }
                None => {
                    out.push(byte);
                    rest = after;
                }
            }
        }
        out
    }

    fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
        proptest::collection::btree_map("[ab]{1,5}", "[abX]{0,3}", 1..5)
            .prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn any_cutting_gives_what_the_definition_does(
            pairs in pairs(),
            body in "[abc]{0,60}",
            sizes in proptest::collection::vec(1_usize..9, 1..6),
        ) {
            let replacements = replacements(&pairs);
            let expected = reference(&pairs, body.as_bytes());
            prop_assert_eq!(&in_pieces(&replacements, body.as_bytes(), &sizes), &expected);
            prop_assert_eq!(&in_pieces(&replacements, body.as_bytes(), &[1]), &expected);
            prop_assert_eq!(&in_pieces(&replacements, body.as_bytes(), &[1000]), &expected);
        }
    }

    #[test]
    fn of_several_the_leftmost_then_the_longest_counts() {
        let pairs = [("ab", "1"), ("abcd", "2"), ("bc", "3")];
        let pairs = pairs.map(|(find, with)| (find.to_owned(), with.to_owned()));
        let replacements = replacements(&pairs);
        for (body, expected) in [
            ("abcd", "2"),
            ("abc", "1c"),
            ("xbcd", "x3d"),
            ("ababcd", "12"),
        ] {
            for size in 1..8 {
                let out = in_pieces(&replacements, body.as_bytes(), &[size]);
                assert_eq!(
                    String::from_utf8(out).unwrap(),
                    expected,
                    "{body} by {size}"
                );
            }
        }
    }
}
