//! Requests counted by the values of attributes, for the attributes that the operator chose.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use tidegate_chain::Value;

/// Values of one attribute that are counted apart; others are counted together.
const VALUES_MAX: usize = 1000;
/// Bytes of a value that are shown.
const VALUE_BYTES_MAX: usize = 128;
/// What others are called.
const OTHER: &str = "(other)";

/// The counters.
#[derive(Debug)]
pub struct AttributeMetrics {
    requests: IntCounterVec,
    attributes: Vec<Counted>,
}

#[derive(Debug)]
struct Counted {
    name: String,
    values: RwLock<HashMap<String, IntCounter>>,
}

impl AttributeMetrics {
    /// Count by these attributes.
    ///
    /// # Errors
    /// The registry has metrics of this name already.
    pub fn register(names: &[String], registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "Requests by the value of an attribute; after 1000 values the others together.";
        let options = Opts::new("tidegate_attribute_requests_total", help);
        let requests = IntCounterVec::new(options, &["attribute", "value"])?;
        registry.register(Box::new(requests.clone()))?;
        let counted = |name: &String| Counted {
            name: name.clone(),
            values: RwLock::default(),
        };
        Ok(AttributeMetrics {
            requests,
            attributes: names.iter().map(counted).collect(),
        })
    }

    /// An exchange ended.
    pub(crate) fn done<'a>(&self, attribute: impl Fn(&str) -> Option<Cow<'a, Value>>) {
        for counted in &self.attributes {
            if let Some(value) = attribute(&counted.name) {
                let text = value.text();
                let cut = text.floor_char_boundary(VALUE_BYTES_MAX);
                self.counter(counted, text.get(..cut).unwrap_or_default())
                    .inc();
            }
        }
    }

    fn counter(&self, counted: &Counted, value: &str) -> IntCounter {
        let values = counted
            .values
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = values.get(value) {
            return counter.clone();
        }
        if values.len() >= VALUES_MAX {
            drop(values);
            return self.requests.with_label_values(&[&*counted.name, OTHER]);
        }
        drop(values);
        let mut values = counted
            .values
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let shown = match values.len() < VALUES_MAX {
            true => value,
            false => OTHER,
        };
        let counter = self.requests.with_label_values(&[&*counted.name, shown]);
        // The last place is that of all others.
        if values.len() < VALUES_MAX {
            values.insert(value.to_owned(), counter.clone());
        }
        counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_chain::Exchange;

    #[test]
    fn values_are_counted_apart_up_to_a_bound() {
        let registry = Registry::new();
        let metrics = AttributeMetrics::register(&["tenant".to_owned()], &registry).unwrap();
        let mut exchange = Exchange::default();
        metrics.done(|name| exchange.attribute(name));
        for number in 0..VALUES_MAX + 5 {
            let value = Value::Text(format!("t{number}"));
            exchange.set_attribute("tenant", value).unwrap();
            metrics.done(|name| exchange.attribute(name));
        }
        let families = registry.gather();
        let series = families[0].get_metric();
        assert_eq!(series.len(), VALUES_MAX + 1);
        let value = |label: &str| {
            let has =
                |m: &&prometheus::proto::Metric| m.get_label().iter().any(|l| l.value() == label);
            series.iter().find(has).map(|m| m.get_counter().get_value())
        };
        assert_eq!((value("t0"), value(OTHER)), (Some(1.0), Some(5.0)));
    }
}
