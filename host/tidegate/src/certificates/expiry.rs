//! The metric that says until when certificates are valid.

use super::{Served, lock};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

/// Until when certificates are valid, looked up when somebody asks.
pub(super) struct Expiry {
    served: Arc<Mutex<Served>>,
    gauge: GaugeVec,
}

impl Expiry {
    pub(super) fn new(served: Arc<Mutex<Served>>) -> Result<Expiry, prometheus::Error> {
        let options = Opts::new(
            "tidegate_certificate_expiry_seconds",
            "When the certificate is not valid any more, in seconds since 1970, by its first name; of several, the first to expire.",
        );
        let gauge = GaugeVec::new(options, &["name"])?;
        Ok(Expiry { served, gauge })
    }
}

impl Collector for Expiry {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let all = lock(&self.served).certificates();
        let mut first: BTreeMap<&str, f64> = BTreeMap::new();
        for certificate in &all {
            let name = certificate.names().first().map_or("", |name| name);
            let expires = certificate.expires().duration_since(UNIX_EPOCH);
            let expires = expires.map_or(0.0, |since| since.as_secs_f64());
            let known = first.entry(name).or_insert(expires);
            *known = known.min(expires);
        }
        self.gauge.reset();
        for (name, expires) in first {
            self.gauge.with_label_values(&[name]).set(expires);
        }
        self.gauge.collect()
    }
}
