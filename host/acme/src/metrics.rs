//! What is counted.

use std::time::SystemTime;

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::name::Name;

/// Metrics of all authorities.
#[derive(Clone, Debug)]
pub struct Metrics {
    orders: IntCounterVec,
    on_demand: IntCounterVec,
    forgotten: IntCounterVec,
    next_attempt: GaugeVec,
    failures: IntGaugeVec,
    unkept: IntGaugeVec,
}

/// Metrics of one certificate; they are gone with it.
pub(crate) struct CertificateMetrics {
    of: Metrics,
    name: Name,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// The registry has metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let metrics = Metrics {
            orders: IntCounterVec::new(
                Opts::new(
                    "tidegate_acme_orders_total",
                    "Orders at certificate authorities, by authority and result: `ok`, or why it failed.",
                ),
                &["issuer", "result"],
            )?,
            on_demand: IntCounterVec::new(
                Opts::new(
                    "tidegate_acme_on_demand_total",
                    "Names that clients asked for and there is no certificate for: `ordered`, or why not.",
                ),
                &["issuer", "result"],
            )?,
            forgotten: IntCounterVec::new(
                Opts::new(
                    "tidegate_acme_on_demand_forgotten_total",
                    "Names that were refused and forgotten before their time, since more are not remembered.",
                ),
                &["issuer"],
            )?,
            next_attempt: GaugeVec::new(
                Opts::new(
                    "tidegate_acme_next_attempt_seconds",
                    "When the certificate is ordered next, in seconds since 1970.",
                ),
                &["name"],
            )?,
            failures: IntGaugeVec::new(
                Opts::new(
                    "tidegate_acme_failures",
                    "Attempts to get the certificate that failed since the last success.",
                ),
                &["name"],
            )?,
            unkept: IntGaugeVec::new(
                Opts::new(
                    "tidegate_acme_unkept",
                    "1 while the certificate that is served could not be written to the store.",
                ),
                &["name"],
            )?,
        };
        registry.register(Box::new(metrics.orders.clone()))?;
        registry.register(Box::new(metrics.on_demand.clone()))?;
        registry.register(Box::new(metrics.forgotten.clone()))?;
        registry.register(Box::new(metrics.next_attempt.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.unkept.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn order(&self, issuer: &str, result: &str) {
        self.orders.with_label_values(&[issuer, result]).inc();
    }

    pub(crate) fn on_demand(&self, issuer: &str, result: &str) {
        self.on_demand.with_label_values(&[issuer, result]).inc();
    }

    pub(crate) fn forgotten(&self, issuer: &str) {
        self.forgotten.with_label_values(&[issuer]).inc();
    }

    pub(crate) fn certificate(&self, name: &Name) -> CertificateMetrics {
        CertificateMetrics {
            of: self.clone(),
            name: name.clone(),
        }
    }
}

impl CertificateMetrics {
    pub(crate) fn next_attempt(&self, at: SystemTime) {
        let seconds = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let gauge = self
            .of
            .next_attempt
            .with_label_values(&[self.name.as_str()]);
        gauge.set(seconds.as_secs_f64().round());
    }

    pub(crate) fn failures(&self, count: u32) {
        let gauge = self.of.failures.with_label_values(&[self.name.as_str()]);
        gauge.set(i64::from(count));
    }

    pub(crate) fn unkept(&self, unkept: bool) {
        let gauge = self.of.unkept.with_label_values(&[self.name.as_str()]);
        gauge.set(i64::from(unkept));
    }
}

impl Drop for CertificateMetrics {
    fn drop(&mut self) {
        // It fails where two authorities have the same name and the other was first.
        let _ = self
            .of
            .next_attempt
            .remove_label_values(&[self.name.as_str()]);
        let _ = self.of.failures.remove_label_values(&[self.name.as_str()]);
        let _ = self.of.unkept.remove_label_values(&[self.name.as_str()]);
    }
}
