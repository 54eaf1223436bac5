//! What belongs to a plugin's name and outlives its versions: limiter state, its own metrics, and
//! its budget of log lines. A swap keeps all of it.

use crate::wit::WitError;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, Opts, Registry,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tidegate_capability::limiter::{Buckets, Leases, Rate, Windows};

/// Series that one plugin can make.
const SERIES_MAX: usize = 1000;
/// Log lines that one plugin can write per second, and at once.
const LINES_PER_SECOND: u64 = 100;
const LINES_AT_ONCE: u64 = 500;

/// The state of a plugin's name.
pub(crate) struct Namespace {
    pub(crate) name: Arc<str>,
    limits: OnceLock<Limits>,
    limiter_keys: usize,
    log: Buckets,
    lines_left_out: AtomicU64,
    families: Mutex<Families>,
    registry: Registry,
}

/// The limits of one plugin that are in this process.
pub(crate) struct Limits {
    pub(crate) buckets: Buckets,
    pub(crate) windows: Windows,
    pub(crate) leases: Arc<Leases>,
}

#[derive(Default)]
struct Families {
    by_name: HashMap<String, Family>,
    series: usize,
}

struct Family {
    labels: Vec<String>,
    vec: FamilyVec,
    seen: std::collections::HashSet<Vec<String>>,
}

enum FamilyVec {
    Counter(CounterVec),
    Gauge(GaugeVec),
    Histogram(HistogramVec),
}

/// One series, ready to be updated without a lock.
#[derive(Clone)]
pub(crate) enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// What a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SeriesKind {
    Counter,
    Gauge,
    Histogram,
}

impl Namespace {
    pub(crate) fn new(name: Arc<str>, limiter_keys: usize, registry: Registry) -> Namespace {
        Namespace {
            name,
            limits: OnceLock::new(),
            limiter_keys,
            log: Buckets::new(1),
            lines_left_out: AtomicU64::new(0),
            families: Mutex::default(),
            registry,
        }
    }

    /// The plugin's limits; made at first use.
    pub(crate) fn limits(&self) -> &Limits {
        let keys = self.limiter_keys;
        self.limits.get_or_init(|| Limits {
            buckets: Buckets::new(keys),
            windows: Windows::new(keys),
            leases: Leases::new(keys),
        })
    }

    /// Whether a log line may be written, and how many were left out before it.
    pub(crate) fn may_log(&self, now: u64) -> Option<u64> {
        let rate = Rate::new(LINES_PER_SECOND, 1_000_000_000, LINES_AT_ONCE)?;
        if self.log.take(1, &rate, 1, now)?.allowed {
            Some(self.lines_left_out.swap(0, Ordering::Relaxed))
        } else {
            self.lines_left_out.fetch_add(1, Ordering::Relaxed);
            None
        }
    }

    /// A series of the plugin's own metrics.
    pub(crate) fn series(
        &self,
        kind: SeriesKind,
        name: &str,
        labels: &[(String, String)],
    ) -> Result<Series, WitError> {
        // `le` is what the buckets of a histogram are told apart by.
        let is_label = |label: &str| is_metric_name(label) && label != "le";
        if !is_metric_name(name) || !labels.iter().all(|(label, _)| is_label(label)) {
            return Err(WitError::InvalidName);
        }
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let full = families.series >= SERIES_MAX;
        if !families.by_name.contains_key(name) {
            if full {
                return Err(WitError::LimitReached);
            }
            let names = labels.iter().map(|(label, _)| label.clone()).collect();
            let family = self.family(kind, name, names)?;
            families.by_name.insert(name.to_owned(), family);
        }
        let Some(family) = families.by_name.get_mut(name) else {
            return Err(WitError::Internal);
        };
        let same_labels = family.labels.len() == labels.len()
            && family.labels.iter().zip(labels).all(|(a, (b, _))| a == b);
        if !same_labels || family.vec.kind() != kind {
            return Err(WitError::InvalidArgument);
        }
        let values: Vec<String> = labels.iter().map(|(_, value)| value.clone()).collect();
        if family.seen.contains(&values) {
            return family.vec.with(&values);
        }
        if full {
            return Err(WitError::LimitReached);
        }
        let series = family.vec.with(&values)?;
        family.seen.insert(values);
        families.series += 1;
        Ok(series)
    }

    fn family(
        &self,
        kind: SeriesKind,
        name: &str,
        labels: Vec<String>,
    ) -> Result<Family, WitError> {
        let plugin = self.name.replace('-', "_");
        let suffix = if kind == SeriesKind::Counter {
            "_total"
        } else {
            ""
        };
        let full = format!("tidegate_plugin_{plugin}_{name}{suffix}");
        let help = format!("`{name}` of the plugin `{}`.", self.name);
        let names: Vec<&str> = labels.iter().map(String::as_str).collect();
        let refused = |_| WitError::InvalidName;
        let vec = match kind {
            SeriesKind::Counter => {
                let vec = CounterVec::new(Opts::new(full, help), &names).map_err(refused)?;
                self.register(Box::new(vec.clone()))?;
                FamilyVec::Counter(vec)
            }
            SeriesKind::Gauge => {
                let vec = GaugeVec::new(Opts::new(full, help), &names).map_err(refused)?;
                self.register(Box::new(vec.clone()))?;
                FamilyVec::Gauge(vec)
            }
            SeriesKind::Histogram => {
                let options = HistogramOpts::new(full, help);
                let vec = HistogramVec::new(options, &names).map_err(refused)?;
                self.register(Box::new(vec.clone()))?;
                FamilyVec::Histogram(vec)
            }
        };
        Ok(Family {
            labels,
            vec,
            seen: Default::default(),
        })
    }

    fn register(&self, metric: Box<dyn prometheus::core::Collector>) -> Result<(), WitError> {
        // Taken: another plugin's name and metric give the same full name.
        self.registry
            .register(metric)
            .map_err(|_| WitError::InvalidName)
    }
}

impl FamilyVec {
    fn kind(&self) -> SeriesKind {
        match self {
            FamilyVec::Counter(_) => SeriesKind::Counter,
            FamilyVec::Gauge(_) => SeriesKind::Gauge,
            FamilyVec::Histogram(_) => SeriesKind::Histogram,
        }
    }

    fn with(&self, values: &[String]) -> Result<Series, WitError> {
        let series = match self {
            FamilyVec::Counter(vec) => vec
                .get_metric_with_label_values(values)
                .map(Series::Counter),
            FamilyVec::Gauge(vec) => vec.get_metric_with_label_values(values).map(Series::Gauge),
            FamilyVec::Histogram(vec) => vec
                .get_metric_with_label_values(values)
                .map(Series::Histogram),
        };
        series.map_err(|_| WitError::InvalidName)
    }
}

fn is_metric_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace() -> Namespace {
        Namespace::new("my-plugin".into(), 8, Registry::new())
    }

    #[test]
    fn series_are_bounded_typed_and_named() {
        let namespace = namespace();
        let label = |value: usize| [("key".to_owned(), value.to_string())];
        for n in 0..SERIES_MAX {
            let series = namespace.series(SeriesKind::Counter, "hits", &label(n));
            assert!(series.is_ok());
        }
        let again = namespace.series(SeriesKind::Counter, "hits", &label(0));
        assert!(again.is_ok());
        let more = namespace.series(SeriesKind::Counter, "hits", &label(SERIES_MAX));
        assert_eq!(more.err(), Some(WitError::LimitReached));
        let gauge = namespace.series(SeriesKind::Gauge, "hits", &label(0));
        assert_eq!(gauge.err(), Some(WitError::InvalidArgument));
        for bad in ["", "Hits", "a-b", "1a"] {
            let series = namespace.series(SeriesKind::Gauge, bad, &[]);
            assert_eq!(series.err(), Some(WitError::InvalidName), "{bad}");
        }
        let bucket = [("le".to_owned(), "1".to_owned())];
        let series = namespace.series(SeriesKind::Histogram, "seconds", &bucket);
        assert_eq!(series.err(), Some(WitError::InvalidName));
        let names: Vec<_> = namespace.registry.gather();
        assert_eq!(names[0].name(), "tidegate_plugin_my_plugin_hits_total");
    }

    #[test]
    fn a_flood_of_log_lines_is_cut_and_counted() {
        let namespace = namespace();
        let now = 1_000_000_000;
        let written = (0..1000)
            .filter(|_| namespace.may_log(now).is_some())
            .count();
        assert_eq!(written as u64, LINES_AT_ONCE);
        let later = namespace.may_log(now + 1_000_000_000);
        assert_eq!(later, Some(1000 - LINES_AT_ONCE));
    }
}
