//! Names that one order at a time shows control of.
//!
//! A handshake for `tls-alpn-01` can show one certificate, whoever asks; and an authority may give two
//! orders of one account the same token or record, which the order that ends first takes back. So the
//! second order for a name waits for the end of the first, whatever authority it is of.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::name::{Name, Names};

/// The names that are claimed, or waited for.
#[derive(Default)]
pub(crate) struct Claims(Mutex<HashMap<Box<str>, Weak<Turn<()>>>>);

/// Names that are claimed for as long as this lives.
pub(crate) struct Claim {
    _turns: Vec<OwnedMutexGuard<()>>,
}

impl Claims {
    /// Waits until nobody else claims one of these names.
    pub(crate) async fn claim(&self, names: &Names) -> Claim {
        // All take them in the same order, so that no two wait for each other.
        let mut bases: Vec<&str> = names.iter().map(Name::base).collect();
        bases.sort_unstable();
        bases.dedup();
        let mut turns = Vec::with_capacity(bases.len());
        for turn in self.turns(&bases) {
            turns.push(turn.lock_owned().await);
        }
        Claim { _turns: turns }
    }

    fn turns(&self, bases: &[&str]) -> Vec<Arc<Turn<()>>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, turn| turn.strong_count() > 0);
        let turns = bases.iter().map(|base| {
            let turn = known.get(*base).and_then(Weak::upgrade);
            turn.unwrap_or_else(|| {
                let new = Arc::<Turn<()>>::default();
                known.insert((*base).into(), Arc::downgrade(&new));
                new
            })
        });
        turns.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn is_free(claims: &Claims, names: &[&str]) -> bool {
        let names = Names::parse(names.iter().copied()).unwrap();
        let claimed = tokio::time::timeout(Duration::from_secs(1), claims.claim(&names));
        claimed.await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_claimed_once_at_a_time() {
        let claims = Claims::default();
        let names = Names::parse(["b.example", "*.a.example", "a.example"]).unwrap();
        let claim = claims.claim(&names).await;
        assert!(!is_free(&claims, &["c.example", "a.example"]).await);
        assert!(!is_free(&claims, &["b.example"]).await);
        assert!(is_free(&claims, &["c.example", "d.example"]).await);
        drop(claim);
        assert!(is_free(&claims, &["a.example", "b.example"]).await);
        assert_eq!(claims.turns(&[]).len(), 0);
        assert!(
            claims.0.lock().unwrap().is_empty(),
            "names that nobody claims any more"
        );
    }

    #[tokio::test]
    async fn nobody_waits_for_each_other() {
        let claims = Arc::new(Claims::default());
        let orders = (0..100).map(|n| {
            let names = if n % 2 == 0 {
                ["a.example", "b.example"]
            } else {
                ["b.example", "a.example"]
            };
            let (claims, names) = (claims.clone(), Names::parse(names).unwrap());
            tokio::spawn(async move {
                let _claim = claims.claim(&names).await;
                tokio::task::yield_now().await;
            })
        });
        let orders: Vec<_> = orders.collect();
        for order in orders {
            let ended = tokio::time::timeout(Duration::from_secs(20), order).await;
            ended.unwrap().unwrap();
        }
    }
}
