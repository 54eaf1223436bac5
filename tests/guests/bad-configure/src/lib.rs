//! Refuses its configuration: a mistake at each path that `refuse` lists. What else is there is accepted.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct BadConfigure {
    #[serde(default)]
    refuse: Vec<String>,
}

#[plugin]
impl Plugin for BadConfigure {
    type Config = Self;

    fn configure(config: Self, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        let refuse = |path: &String| ConfigError::at(path, format!("`{path}` is refused"));
        let mistakes: Vec<ConfigError> = config.refuse.iter().map(refuse).collect();
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(mistakes)
        }
    }

    fn on_request(&self, _: &mut Request) -> Action {
        Action::Proceed
    }
}
