//! Who lets requests through to upstreams that have a limit: one for all states with the same bounds, so that a reload
//! does not let as many through again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tidegate_config::Upstream;
use tidegate_http::{Admission, AdmissionBounds, Metrics};

/// Those in use, by the upstream's name.
#[derive(Default)]
pub(crate) struct Admissions(Mutex<HashMap<String, Weak<Admission>>>);

impl Admissions {
    /// The one for this upstream, where it has a limit.
    pub(crate) fn of(
        &self,
        name: &str,
        upstream: &Upstream,
        metrics: &Metrics,
    ) -> Option<Arc<Admission>> {
        if upstream.requests == 0 {
            return None;
        }
        let bounds = AdmissionBounds {
            requests: upstream.requests as usize,
            queue: upstream.queue as usize,
            queue_timeout: upstream.timeout.queue,
            retry_after: upstream.retry_after.as_secs(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, known| known.strong_count() > 0);
        let known = all.get(name).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.bounds() == bounds) {
            return Some(known);
        }
        let admission = Arc::new(Admission::new(name, bounds, metrics));
        all.insert(name.to_owned(), Arc::downgrade(&admission));
        Some(admission)
    }
}
