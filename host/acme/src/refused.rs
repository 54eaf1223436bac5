//! Names that were refused a short time ago.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::name::Name;

/// The names that were refused last, each for the same time.
#[derive(Debug)]
pub(crate) struct Refused {
    remember: Duration,
    /// The most names. Clients make them up, so the oldest gives way.
    most: usize,
    names: HashSet<Name>,
    /// The same names, with when they are forgotten; the next one first.
    until: VecDeque<(Instant, Name)>,
}

impl Refused {
    pub(crate) fn new(remember: Duration, most: usize) -> Refused {
        Refused {
            remember,
            most,
            names: HashSet::new(),
            until: VecDeque::new(),
        }
    }

    /// Whether it was refused, and that is remembered.
    pub(crate) fn contains(&mut self, name: &Name, now: Instant) -> bool {
        self.forget(now);
        self.names.contains(name)
    }

    /// Remembers a name from now on. One that is remembered already stays as it is. Whether the oldest had to give way
    /// before its time.
    pub(crate) fn insert(&mut self, name: &Name, now: Instant) -> bool {
        self.forget(now);
        if !self.names.insert(name.clone()) {
            return false;
        }
        let is_full = self.until.len() >= self.most;
        if is_full {
            self.forget_first();
        }
        self.until.push_back((now + self.remember, name.clone()));
        is_full
    }

    fn forget(&mut self, now: Instant) {
        while self.until.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, name)) = self.until.pop_front() {
            self.names.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_name_is_remembered_for_its_time() {
        let (mut refused, now) = (Refused::new(10 * SECOND, 100), Instant::now());
        refused.insert(&name("a.example"), now);
        refused.insert(&name("a.example"), now + 5 * SECOND);
        refused.insert(&name("b.example"), now + 5 * SECOND);
        assert!(refused.contains(&name("a.example"), now + 9 * SECOND));
        assert!(!refused.contains(&name("a.example"), now + 10 * SECOND));
        assert!(refused.contains(&name("b.example"), now + 10 * SECOND));
        refused.insert(&name("a.example"), now + 20 * SECOND);
        assert!(refused.contains(&name("a.example"), now + 29 * SECOND));
    }

    #[test]
    fn names_that_clients_make_up_do_not_grow_without_bound() {
        const MOST: usize = 1000;
        let (mut refused, now) = (Refused::new(10 * SECOND, MOST), Instant::now());
        for n in 0..MOST + 10 {
            let gave_way = refused.insert(&name(&format!("n{n}.example")), now);
            assert_eq!(gave_way, n >= MOST, "{n}");
        }
        assert_eq!((refused.names.len(), refused.until.len()), (MOST, MOST));
        // The newest count: they are what is asked for now.
        assert!(!refused.contains(&name("n9.example"), now));
        assert!(refused.contains(&name("n10.example"), now));
        assert!(refused.contains(&name(&format!("n{}.example", MOST + 9)), now));
        refused.insert(&name("last.example"), now + 20 * SECOND);
        assert_eq!((refused.names.len(), refused.until.len()), (1, 1));
    }
}
