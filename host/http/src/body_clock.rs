//! How long a request body has not come on. HTTP/1.1 has a read timeout; Pingora's HTTP/2 has none,
//! so a client could hold a stream, and with it a connection to an upstream, for ever.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Counts the parts of a body; odd once it is over.
#[derive(Debug, Default)]
pub(crate) struct BodyClock(AtomicU32);

impl BodyClock {
    /// A part came; with `end` it was the last.
    pub(crate) fn passed(&self, end: bool) {
        if end {
            self.0.fetch_or(1, Ordering::Relaxed);
        } else {
            self.0.fetch_add(2, Ordering::Relaxed);
        }
    }

    /// Wait until no part came for `timeout`; for ever once the body is over.
    pub(crate) async fn stalled(&self, timeout: Duration) {
        loop {
            let before = self.0.load(Ordering::Relaxed);
            if before & 1 == 1 {
                return std::future::pending().await;
            }
            tokio::time::sleep(timeout).await;
            if before == self.0.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}
