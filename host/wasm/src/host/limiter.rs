//! `limiter`: token buckets whose state belongs to the host.

use super::Host;
use crate::bucket::Rate;
use crate::wit::{WitBucket, WitError, WitOutcome, WitScope};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;
use wasmtime::component::{LinkerInstance, WasmList};
use wasmtime::{Result, StoreContextMut};

/// Seeded per process, so that nobody can choose keys that collide.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

pub(super) fn link(limiter: &mut LinkerInstance<'_, Host>) -> Result<()> {
    limiter.func_wrap(
        "take",
        |host: StoreContextMut<'_, Host>,
         (scope, key, bucket, cost): (WitScope, WasmList<u8>, WitBucket, u64)| {
            let key = key.as_le_slice(&host);
            Ok((host.data().take(scope, key, bucket, cost),))
        },
    )
}

impl Host {
    fn take(
        &self,
        scope: WitScope,
        key: &[u8],
        bucket: WitBucket,
        cost: u64,
    ) -> std::result::Result<WitOutcome, WitError> {
        if self.exchange.phase.is_none() {
            return Err(WitError::WrongPhase);
        }
        let rate = Rate::new(bucket.tokens, bucket.period, bucket.burst)
            .ok_or(WitError::InvalidArgument)?;
        let mut hasher = HASHER.build_hasher();
        match scope {
            WitScope::Route => self.exchange.facts.route.hash(&mut hasher),
            WitScope::Plugin => hasher.write_u8(0),
        }
        key.hash(&mut hasher);
        let table = self.namespace.limiter();
        let taken = table
            .take(hasher.finish(), &rate, cost, self.monotonic())
            .ok_or(WitError::InvalidArgument)?;
        Ok(WitOutcome {
            allowed: taken.allowed,
            remaining: taken.remaining,
            full_after: taken.full_after,
            retry_after: taken.retry_after,
        })
    }
}
