//! The interface `metrics`.

use super::super::call::with;
use crate::Error;

pub(crate) fn count(name: &str, labels: &[(String, String)], amount: u64) -> Result<(), Error> {
    #[allow(clippy::cast_precision_loss, reason = "tests count less than 2^52")]
    change(name, labels, |value| value + amount as f64)
}

pub(crate) fn gauge(name: &str, labels: &[(String, String)], value: f64) -> Result<(), Error> {
    change(name, labels, |_| value)
}

pub(crate) fn observe(name: &str, labels: &[(String, String)], value: f64) -> Result<(), Error> {
    change(name, labels, |sum| sum + value)
}

fn change(
    name: &str,
    labels: &[(String, String)],
    new: impl FnOnce(f64) -> f64,
) -> Result<(), Error> {
    let start = name.starts_with(|c: char| c.is_ascii_lowercase());
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !start || name.len() > 64 || !name.chars().all(allowed) {
        return Err(Error::InvalidName);
    }
    let series = (name.to_owned(), labels.iter().cloned().collect());
    with(|current| {
        let value = current.host.metrics.entry(series).or_default();
        *value = new(*value);
    });
    Ok(())
}
