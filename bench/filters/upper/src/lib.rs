//! Writes bodies of responses in upper case, as they stream.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upper {}

#[plugin]
impl Plugin for Upper {
    fn configure(config: Self, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        interest.response_body(BodyMode::Streaming)?;
        Ok(config)
    }

    fn on_response_body(&self, body: &mut ResponseBody<()>) -> BodyAction {
        body.data.make_ascii_uppercase();
        BodyAction::replace(std::mem::take(&mut body.data))
    }
}
