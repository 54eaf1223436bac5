//! Writes ten thousand lines to the log and makes as many series, when the field `x-flood` is there. Says
//! in `x-series` how many series it got.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

const MANY: usize = 10_000;

#[derive(Deserialize)]
struct Flood {}

#[plugin]
impl Plugin for Flood {
    fn on_request(&self, request: &mut Request) -> Action {
        if request.header("x-flood").is_none() {
            return Action::Proceed;
        }
        for line in 0..MANY {
            log::info!("flood line {line}");
        }
        let series = (0..MANY)
            .filter(|n| metrics::count("seen", &[("client", &n.to_string())], 1).is_ok())
            .count();
        request.set_header("x-series", series.to_string()).ok();
        Action::Proceed
    }
}
