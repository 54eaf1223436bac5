//! Sees bodies of responses as they stream, counts their bytes, and lets them pass as they are.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pass {}

#[plugin]
impl Plugin for Pass {
    type ResponseBodyState = u64;

    fn configure(config: Self, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        interest.response_body(BodyMode::Streaming)?;
        Ok(config)
    }

    fn on_response_body(&self, body: &mut ResponseBody<u64>) -> BodyAction {
        body.state += body.data.len() as u64;
        BodyAction::Pass
    }
}
