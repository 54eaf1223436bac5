//! The plugin's own metrics, shown on the admin address as `tidegate_plugin_<plugin>_<name>`.
//!
//! Names are `[a-z][a-z0-9_]*`, up to 64 characters. A name keeps the type and the label names of
//! its first use. Further series than 1000 per plugin are refused.

use crate::{Error, host};

/// Add to a counter.
///
/// # Errors
///
/// A name or label that metrics do not allow, another use of the name, or too many series.
pub fn count(name: &str, labels: &[(&str, &str)], amount: u64) -> Result<(), Error> {
    host::metrics::count(name, &owned(labels), amount)
}

/// Set a gauge.
///
/// # Errors
///
/// As for [`count`].
pub fn gauge(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), Error> {
    host::metrics::gauge(name, &owned(labels), value)
}

/// Observe a value in a histogram; seconds for times.
///
/// # Errors
///
/// As for [`count`].
pub fn observe(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), Error> {
    host::metrics::observe(name, &owned(labels), value)
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = labels.iter();
    pairs
        .map(|&(label, value)| (label.to_owned(), value.to_owned()))
        .collect()
}
