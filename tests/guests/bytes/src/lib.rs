//! Copies the field `x-in` to `x-out`, in each direction, whatever bytes it holds.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Bytes {}

#[plugin]
impl Plugin for Bytes {
    fn on_request(&self, request: &mut Request) -> Action {
        for value in request.header_values("x-in") {
            request.append_header("x-out", value).ok();
        }
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        for value in response.request().header_values("x-in") {
            response.append_header("x-out", value).ok();
        }
        Action::Proceed
    }
}
