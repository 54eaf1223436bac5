//! How many requests an upstream gets at once, and how many wait for their turn.
//!
//! What an upstream cannot serve in time is refused while its client still waits. A queue without a bound grows until
//! whoever is served in it has long given up.

use crate::metrics::AdmissionMetrics;
use http::HeaderValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bounds of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Requests at once, on all peers together.
    pub requests: usize,
    /// Requests that may wait.
    pub queue: usize,
    /// How long each of them may.
    pub queue_timeout: Duration,
    /// When those who are refused may ask again, in seconds; 0 does not say.
    pub retry_after: u64,
}

/// Lets requests through to an upstream. Shared by all states with the same bounds, so that a reload does not count
/// anew.
#[derive(Debug)]
pub struct Admission {
    bounds: Bounds,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    metrics: AdmissionMetrics,
}

/// A place among the requests that an upstream has, until it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overload {
    /// As many wait as may.
    QueueFull,
    /// Its turn did not come in time.
    QueueTimeout,
}

impl Admission {
    /// For an upstream of this name.
    pub fn new(name: &str, bounds: Bounds, metrics: &crate::Metrics) -> Admission {
        Admission {
            bounds,
            places: Arc::new(Semaphore::new(bounds.requests.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            metrics: metrics.admission(name),
        }
    }

    /// What it was made with.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// A place, at once or after a wait. Those who came first go first.
    pub(crate) async fn enter(&self) -> Result<Place, Overload> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = Waiting::new(self).ok_or_else(|| {
            self.metrics.queue_full.inc();
            Overload::QueueFull
        })?;
        let place = self.places.clone().acquire_owned();
        match timeout(self.bounds.queue_timeout, place).await {
            Ok(Ok(place)) => Ok(place),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => {
                self.metrics.queue_timeout.inc();
                Err(Overload::QueueTimeout)
            }
        }
    }

    /// The value of `retry-after` for those who are refused.
    pub(crate) fn retry_after(&self) -> Option<HeaderValue> {
        let seconds = self.bounds.retry_after;
        (seconds > 0).then(|| HeaderValue::from(seconds))
    }
}

/// One that waits, until it is dropped.
struct Waiting<'a>(&'a Admission);

impl Waiting<'_> {
    /// `None` where as many wait as may.
    fn new(admission: &Admission) -> Option<Waiting<'_>> {
        let before = admission.waiting.fetch_add(1, Ordering::Relaxed);
        admission.metrics.waiting.inc();
        // Counts itself out where there is no room.
        let waiting = Waiting(admission);
        (before < admission.bounds.queue).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.waiting.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(requests: usize, queue: usize) -> Arc<Admission> {
        let metrics = crate::Metrics::register(&prometheus::Registry::new()).unwrap();
        let bounds = Bounds {
            requests,
            queue,
            queue_timeout: Duration::from_secs(5),
            retry_after: 1,
        };
        Arc::new(Admission::new("app", bounds, &metrics))
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_the_place_that_becomes_free() {
        let admission = admission(1, 1);
        let first = admission.enter().await.unwrap();
        let other = admission.clone();
        let second = tokio::spawn(async move { other.enter().await.map(drop) });
        tokio::task::yield_now().await;
        assert_eq!(admission.enter().await.unwrap_err(), Overload::QueueFull);
        drop(first);
        assert_eq!(second.await.unwrap(), Ok(()));
        drop(admission.enter().await.unwrap());
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_or_after_leaving() {
        let admission = admission(1, 2);
        let _first = admission.enter().await.unwrap();
        assert_eq!(admission.enter().await.unwrap_err(), Overload::QueueTimeout);
        let left = timeout(Duration::from_secs(1), admission.enter()).await;
        assert!(left.is_err());
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 0);
    }
}
