//! Counts how often its time has come: of all instances as a counter, of this one as a gauge.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::time::Duration;

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    name: String,
    period_ms: u64,
    /// Trap at this tick, the first being 1.
    trap_at: Option<u64>,
}

struct Ticker {
    config: Settings,
    ticks: Cell<u64>,
}

#[plugin]
impl Plugin for Ticker {
    type Config = Settings;

    fn configure(config: Settings, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        interest.tick(Duration::from_millis(config.period_ms))?;
        let ticks = Cell::new(0);
        Ok(Ticker { config, ticks })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        let ticks = Store::open("ticks").get(&self.config.name);
        let ticks = ticks.ok().flatten().unwrap_or_default();
        request.set_header("x-ticks", ticks).ok();
        Action::Proceed
    }

    fn on_tick(&self) {
        self.ticks.set(self.ticks.get() + 1);
        let labels = [("name", self.config.name.as_str())];
        metrics::count("ticks", &labels, 1).ok();
        metrics::gauge("own_ticks", &labels, self.ticks.get() as f64).ok();
        Store::open("ticks")
            .increment(&self.config.name, 1, None)
            .ok();
        assert_ne!(self.config.trap_at, Some(self.ticks.get()), "as configured");
    }
}
