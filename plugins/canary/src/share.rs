//! Weighted rendezvous hashing: which target a key belongs to.
//!
//! Each target gets a score from the key and its own name, and the highest wins. A target that gets
//! more weight takes keys from the others and gives none away, one that gets less only loses some: as
//! few keys move as can (Thaler and Ravishankar, "Using name-based mappings to increase hit rates",
//! 1998; weights by Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005).

use sha2::{Digest, Sha256};

/// The place of the target, among names and weights, that a key belongs to; `None` where no target has a weight.
pub(crate) fn choose<'a>(
    salt: &str,
    key: &[u8],
    targets: impl IntoIterator<Item = (&'a str, u32)>,
) -> Option<usize> {
    let targets = targets.into_iter().enumerate();
    let scores = targets.filter(|(_, (_, weight))| *weight > 0);
    let scores = scores.map(|(place, (name, weight))| (place, score(salt, key, name, weight)));
    let best = scores.max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map(|(place, _)| place)
}

/// With u evenly in (0, 1), -weight / ln(u) is highest for a target as often as its share of all weights.
fn score(salt: &str, key: &[u8], name: &str, weight: u32) -> f64 {
    let mut digest = Sha256::new();
    for part in [salt.as_bytes(), name.as_bytes(), key] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest: [u8; 32] = digest.finalize().into();
    let head = digest
        .first_chunk()
        .map_or(0, |head| u64::from_be_bytes(*head));
    // 52 bits and a half step: never 0 and never 1, both of which have no score.
    let even = ((head >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
    -f64::from(weight) / even.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 4] = ["stable", "canary", "next", "old"];

    fn chosen(key: &[u8], weights: &[u32]) -> Option<usize> {
        choose("salt", key, NAMES.into_iter().zip(weights.iter().copied()))
    }

    #[test]
    fn shares_are_as_the_weights() {
        let mut counts = [0i32; 3];
        for user in 0..20_000u32 {
            counts[chosen(&user.to_be_bytes(), &[90, 9, 1]).unwrap()] += 1;
        }
        // Six standard deviations around 18000, 1800 and 200.
        for (count, (expected, range)) in
            counts.iter().zip([(18_000, 255), (1_800, 243), (200, 85)])
        {
            assert!((count - expected).abs() < range, "{counts:?}");
        }
    }

    #[test]
    fn a_salt_makes_another_choice() {
        let differ = (0..1000u32).filter(|user| {
            let with = |salt| choose(salt, &user.to_be_bytes(), [("a", 1), ("b", 1)]);
            with("x") != with("y")
        });
        let differ = differ.count();
        assert!((400..600).contains(&differ), "{differ}");
    }

    #[test]
    fn the_choice_is_the_same_everywhere_and_for_ever() {
        // A user stays where it is across instances, restarts, machines and releases.
        let users = ["ada", "bob", "eve", "192.0.2.1", "192.0.2.2", "2001:db8::1"];
        let places = users.map(|user| chosen(user.as_bytes(), &[1, 1, 1, 1]));
        assert_eq!(places, [2, 1, 3, 1, 3, 2].map(Some));
    }

    proptest! {
        /// With more weight, a target loses nobody, and the others get nobody.
        #[test]
        fn as_few_as_possible_move(
            key in proptest::collection::vec(any::<u8>(), 0..20),
            weights in proptest::collection::vec(0u32..100, 1..=4),
            place in 0usize..4,
            more in 1u32..100,
        ) {
            let place = place % weights.len();
            let mut grown = weights.clone();
            grown[place] += more;
            let (before, after) = (chosen(&key, &weights), chosen(&key, &grown));
            prop_assert!(after == before || after == Some(place), "{:?} {:?}", before, after);
        }

        /// Nobody goes where there is no weight, and somewhere where there is any.
        #[test]
        fn no_weight_is_no_user(
            key in proptest::collection::vec(any::<u8>(), 0..20),
            weights in proptest::collection::vec(0u32..3, 1..=4),
        ) {
            match chosen(&key, &weights) {
                Some(place) => prop_assert!(weights[place] > 0),
                None => prop_assert!(weights.iter().all(|weight| *weight == 0)),
            }
        }
    }
}
