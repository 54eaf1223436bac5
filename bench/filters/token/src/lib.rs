//! The small filter of the bench: refuses requests without the token, adds a field each way.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    /// Look at this path alone, so that others show what a filter costs that is not called.
    #[serde(default)]
    path: Option<String>,
}

#[plugin]
impl Plugin for Token {
    type Config = Self;

    fn configure(config: Self, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        if let Some(path) = &config.path {
            interest.paths([path])?;
        }
        Ok(config)
    }

    fn on_request(&self, request: &mut Request) -> Action {
        if request
            .header("x-token")
            .is_none_or(|token| token != "secret")
        {
            return request.respond(Reply::new(403));
        }
        request.set_header("x-bench", "1").ok();
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        response.set_header("x-bench", "1").ok();
        Action::Proceed
    }
}
