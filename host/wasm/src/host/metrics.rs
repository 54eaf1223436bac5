//! `metrics`: the plugin's own counters, gauges and histograms, bounded in number.

use super::Host;
use crate::namespace::{Series, SeriesKind};
use crate::wit::WitError;
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

type Caller<'a> = StoreContextMut<'a, Host>;
type Labels = Vec<(String, String)>;

/// Labels of one series.
const LABELS_MAX: usize = 8;
/// Bytes of one label's value.
const LABEL_BYTES_MAX: usize = 256;

pub(super) fn link(metrics: &mut LinkerInstance<'_, Host>) -> Result<()> {
    metrics.func_wrap(
        "count",
        |mut host: Caller<'_>, (name, labels, amount): (String, Labels, u64)| {
            let series = host.data_mut().series(SeriesKind::Counter, name, labels);
            Ok((series.map(|series| {
                if let Series::Counter(counter) = series {
                    counter.inc_by(amount as f64);
                }
            }),))
        },
    )?;
    metrics.func_wrap(
        "gauge",
        |mut host: Caller<'_>, (name, labels, value): (String, Labels, f64)| {
            let series = host.data_mut().series(SeriesKind::Gauge, name, labels);
            Ok((series.map(|series| {
                if let Series::Gauge(gauge) = series {
                    gauge.set(value);
                }
            }),))
        },
    )?;
    metrics.func_wrap(
        "observe",
        |mut host: Caller<'_>, (name, labels, value): (String, Labels, f64)| {
            let series = host.data_mut().series(SeriesKind::Histogram, name, labels);
            Ok((series.map(|series| {
                if let Series::Histogram(histogram) = series {
                    histogram.observe(value);
                }
            }),))
        },
    )
}

impl Host {
    fn series(
        &mut self,
        kind: SeriesKind,
        name: String,
        labels: Labels,
    ) -> std::result::Result<&Series, WitError> {
        use std::collections::hash_map::Entry;
        let too_long = labels.iter().any(|(_, v)| v.len() > LABEL_BYTES_MAX);
        if labels.len() > LABELS_MAX || too_long {
            return Err(WitError::LimitReached);
        }
        match self.series.entry((kind, name, labels)) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let (kind, name, labels) = entry.key();
                let series = self.namespace.series(*kind, name, labels)?;
                Ok(entry.insert(series))
            }
        }
    }
}
