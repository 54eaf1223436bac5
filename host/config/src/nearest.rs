//! "Did you mean …?"

/// The candidate that the word was probably meant to be, if there is one.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_typo_and_nothing_far() {
        let keys = ["name", "match", "plugins", "upstream"];
        assert_eq!(nearest("upsteam", keys), Some("upstream"));
        assert_eq!(nearest("nmae", keys), Some("name"));
        assert_eq!(nearest("body", keys), None);
    }
}
