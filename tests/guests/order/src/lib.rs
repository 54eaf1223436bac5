//! Adds its configured name to the field `x-order`, of requests and of responses.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Order {
    name: String,
}

#[plugin]
impl Plugin for Order {
    fn on_request(&self, request: &mut Request) -> Action {
        request.append_header("x-order", &self.name).ok();
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        response.append_header("x-order", &self.name).ok();
        Action::Proceed
    }
}
