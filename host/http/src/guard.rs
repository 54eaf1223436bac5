//! Counts what a connection does that none of good will does.

use crate::abuse::{Cut, Refusal};
use crate::metrics::AbuseMetrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Watches one connection.
#[derive(Debug)]
pub(crate) struct Guard {
    metrics: Arc<AbuseMetrics>,
    listener: Arc<str>,
    /// A connection is cut once, whoever notices first.
    is_cut: AtomicBool,
    /// HTTP/2 streams that are being served, whether the client still wants them or not.
    streams: AtomicUsize,
    streams_max: usize,
}

impl Guard {
    /// `streams` are those that the client may have open and those that it may have reset, together.
    pub(crate) fn new(metrics: Arc<AbuseMetrics>, listener: Arc<str>, streams: usize) -> Guard {
        Guard {
            metrics,
            listener,
            is_cut: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            streams_max: streams,
        }
    }

    /// Count a request that is refused.
    pub(crate) fn refused(&self, reason: Refusal) {
        self.metrics.refused(reason);
    }

    /// Count a connection that is cut.
    pub(crate) fn cut(&self, reason: Cut) {
        if !self.is_cut.swap(true, Ordering::Relaxed) {
            tracing::debug!(
                listener = &*self.listener,
                reason = reason.label(),
                "cut a connection"
            );
            self.metrics.cut(&self.listener, reason);
        }
    }

    /// Count a stream of HTTP/2 that is cut while its connection goes on.
    pub(crate) fn cut_stream(&self, reason: Cut) {
        self.metrics.cut(&self.listener, reason);
    }

    /// A stream of HTTP/2 is being served, until the value is dropped.
    pub(crate) fn stream(self: &Arc<Guard>) -> Stream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Stream(self.clone())
    }

    /// Whether streams of HTTP/2 are being served.
    pub(crate) fn has_streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed) > 0
    }

    /// Whether more streams are being served than a client can have open: it resets them as fast as it
    /// opens them (CVE-2023-44487).
    pub(crate) fn has_too_many_streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed) > self.streams_max
    }
}

/// A stream that is being served.
pub(crate) struct Stream(Arc<Guard>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}
