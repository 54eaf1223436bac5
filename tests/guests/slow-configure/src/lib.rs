//! Loops for ever while it is configured with `spin = true`.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct SlowConfigure {
    #[serde(default)]
    spin: bool,
}

#[plugin]
impl Plugin for SlowConfigure {
    type Config = Self;

    fn configure(config: Self, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        while std::hint::black_box(config.spin) {}
        Ok(config)
    }

    fn on_request(&self, _: &mut Request) -> Action {
        Action::Proceed
    }
}
