//! What plugins cost: calls, time, skips and failures for each plugin, version and phase.
//!
//! The series of a version live as long as somebody holds its [`VersionMeters`], so that a plugin
//! that is swapped every minute does not grow the metrics for ever.

use crate::{FailureKind, Phase, PhaseSet};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// The metrics of all plugins.
#[derive(Debug)]
pub struct Meters {
    seconds: HistogramVec,
    skips: IntCounterVec,
    edited: IntCounterVec,
    left_out: IntCounterVec,
    failures: IntCounterVec,
    live: Mutex<HashMap<Version, Weak<VersionMeters>>>,
}

/// A plugin's name and version.
type Version = (Arc<str>, Arc<str>);

/// The metrics of one version of one plugin.
#[derive(Debug)]
pub struct VersionMeters {
    plugin: Arc<str>,
    version: Arc<str>,
    skips: IntCounter,
    /// Of the phases that the version exports.
    phases: [Option<PhaseMeters>; Phase::ALL.len()],
    /// Of the phases in which edits were made in place of a call.
    edited: [OnceLock<IntCounter>; Phase::ALL.len()],
    all: Arc<Meters>,
}

#[derive(Debug)]
struct PhaseMeters {
    seconds: Histogram,
    failures: [IntCounter; FailureKind::ALL.len()],
}

impl Meters {
    /// Register the metrics.
    ///
    /// # Errors
    /// The registry has metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Arc<Meters>, prometheus::Error> {
        // From a microsecond, about what a header plugin costs, to the deadline's order.
        let buckets = vec![1e-6, 2e-6, 5e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1];
        let meters = Meters {
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "tidegate_plugin_call_seconds",
                    "Time of plugin calls, by plugin, version and phase.",
                )
                .buckets(buckets),
                &["plugin", "version", "phase"],
            )?,
            skips: IntCounterVec::new(
                Opts::new(
                    "tidegate_plugin_skips_total",
                    "Requests that a plugin was not interested in.",
                ),
                &["plugin", "version"],
            )?,
            edited: IntCounterVec::new(
                Opts::new(
                    "tidegate_plugin_edited_heads_total",
                    "Heads that were edited in place of a call of the plugin, as it declared or prepared.",
                ),
                &["plugin", "version", "phase"],
            )?,
            left_out: IntCounterVec::new(
                Opts::new(
                    "tidegate_plugin_left_out_total",
                    "Responses without an edit that a plugin had prepared, because it was refused.",
                ),
                &["plugin", "version"],
            )?,
            failures: IntCounterVec::new(
                Opts::new(
                    "tidegate_plugin_failures_total",
                    "Plugin calls that failed, by kind: trap, deadline, memory, error, over_limit.",
                ),
                &["plugin", "version", "phase", "kind"],
            )?,
            live: Mutex::default(),
        };
        registry.register(Box::new(meters.seconds.clone()))?;
        registry.register(Box::new(meters.skips.clone()))?;
        registry.register(Box::new(meters.edited.clone()))?;
        registry.register(Box::new(meters.left_out.clone()))?;
        registry.register(Box::new(meters.failures.clone()))?;
        Ok(Arc::new(meters))
    }

    /// The metrics of a version: the same for all who hold them at one time.
    pub fn version(
        self: &Arc<Self>,
        plugin: &Arc<str>,
        version: &Arc<str>,
        exported: PhaseSet,
    ) -> Arc<VersionMeters> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (plugin.clone(), version.clone());
        if let Some(meters) = live.get(&key).and_then(Weak::upgrade) {
            return meters;
        }
        let of_phase = |phase: Phase| PhaseMeters {
            seconds: self
                .seconds
                .with_label_values(&[&**plugin, &**version, phase.name()]),
            failures: FailureKind::ALL.map(|kind| {
                self.failures
                    .with_label_values(&[&**plugin, &**version, phase.name(), kind.name()])
            }),
        };
        let phases = Phase::ALL.map(|phase| exported.contains(phase).then(|| of_phase(phase)));
        let meters = Arc::new(VersionMeters {
            plugin: plugin.clone(),
            version: version.clone(),
            skips: self.skips.with_label_values(&[&**plugin, &**version]),
            phases,
            edited: Default::default(),
            all: self.clone(),
        });
        live.insert(key, Arc::downgrade(&meters));
        meters
    }

    /// Remove the series of a version, unless somebody asked for them again meanwhile.
    fn forget(&self, plugin: &Arc<str>, version: &Arc<str>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (plugin.clone(), version.clone());
        if live
            .get(&key)
            .is_some_and(|meters| meters.strong_count() > 0)
        {
            return;
        }
        live.remove(&key);
        // A series that is not there needs no removal.
        let _ = self.skips.remove_label_values(&[plugin, version]);
        let _ = self.left_out.remove_label_values(&[plugin, version]);
        for phase in Phase::ALL.map(Phase::name) {
            let _ = self.edited.remove_label_values(&[plugin, version, phase]);
            let _ = self.seconds.remove_label_values(&[plugin, version, phase]);
            for kind in FailureKind::ALL.map(FailureKind::name) {
                let labels: [&str; 4] = [plugin, version, phase, kind];
                let _ = self.failures.remove_label_values(&labels);
            }
        }
    }
}

impl VersionMeters {
    /// A call ended.
    pub fn called(&self, phase: Phase, took: Duration) {
        if let Some(Some(meters)) = self.phases.get(phase as usize) {
            meters.seconds.observe(took.as_secs_f64());
        }
    }

    /// The plugin was not interested in a request.
    pub fn skipped(&self) {
        self.skips.inc();
    }

    /// A head was edited in place of a call.
    pub fn edited(&self, phase: Phase) {
        if let Some(edited) = self.edited.get(phase as usize) {
            let labels = || [&*self.plugin, &*self.version, phase.name()];
            let series = || self.all.edited.with_label_values(&labels());
            edited.get_or_init(series).inc();
        }
    }

    /// An edit that it had prepared could not be made.
    pub fn left_out(&self) {
        let labels = [&*self.plugin, &*self.version];
        self.all.left_out.with_label_values(&labels).inc();
    }

    #[cfg(test)]
    pub(crate) fn skips(&self) -> u64 {
        self.skips.get()
    }

    /// A call failed.
    pub fn failed(&self, phase: Phase, kind: FailureKind) {
        let meters = self.phases.get(phase as usize).and_then(Option::as_ref);
        match meters.and_then(|m| m.failures.get(kind as usize)) {
            Some(failures) => failures.inc(),
            // It does not export the phase, but has edits that are made in it.
            None => {
                let labels = [&*self.plugin, &*self.version, phase.name(), kind.name()];
                self.all.failures.with_label_values(&labels).inc();
            }
        }
    }
}

impl Drop for VersionMeters {
    fn drop(&mut self) {
        self.all.forget(&self.plugin, &self.version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(registry: &Registry) -> usize {
        registry.gather().iter().map(|f| f.get_metric().len()).sum()
    }

    #[test]
    fn series_live_as_long_as_their_version() {
        let registry = Registry::new();
        let meters = Meters::register(&registry).unwrap();
        let (name, one) = (Arc::from("p"), Arc::from("1"));
        let phases = PhaseSet::default().with(Phase::RequestHead);
        let first = meters.version(&name, &one, phases);
        let again = meters.version(&name, &one, phases);
        assert!(Arc::ptr_eq(&first, &again));
        first.called(Phase::RequestHead, Duration::from_micros(1));
        let with_one = series(&registry);
        assert!(with_one > 0);
        for version in 2..50 {
            drop(meters.version(&name, &Arc::from(version.to_string()), phases));
        }
        assert_eq!(series(&registry), with_one);
        drop((first, again));
        assert_eq!(series(&registry), 0);
    }
}
