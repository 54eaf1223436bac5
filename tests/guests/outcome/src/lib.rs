//! Writes down what became of each exchange, as JSON in the log. With `x-outcome-fails`, it fails instead.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Recorder {}

#[plugin]
impl Plugin for Recorder {
    fn on_log(&self, outcome: &Outcome) {
        metrics::count("exchanges", &[], 1).ok();
        assert!(outcome.request().header("x-outcome-fails").is_none());
        log::info!(
            "{{\"status\":{},\"request_bytes\":{},\"response_bytes\":{},\"attempts\":{},\
             \"upstream\":{},\"peer\":{},\"problem\":{},\"path\":{:?},\"response_type\":{},\
             \"waited\":{},\"took\":{}}}",
            outcome.status(),
            outcome.request_bytes(),
            outcome.response_bytes(),
            outcome.attempts(),
            json(outcome.upstream()),
            json(outcome.peer()),
            json(outcome.problem()),
            outcome.request().path(),
            json(
                outcome
                    .response()
                    .header("content-type")
                    .map(|value| value.text().into_owned())
            ),
            outcome.upstream_wait().is_some(),
            outcome.duration().as_nanos() > 0,
        );
    }
}

/// As JSON; these texts have nothing that Rust would escape in another way.
fn json(text: Option<String>) -> String {
    text.map_or("null".to_owned(), |text| format!("{text:?}"))
}
