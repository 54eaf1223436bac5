//! Sets the field `x-version` of requests and responses to its version, which tests write over in the
//! built component: as many versions as they like from one build.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

/// Eight digits after a mark that occurs nowhere else.
static VERSION: [u8; 22] = *b"stamp-version:00000000";

#[derive(Deserialize)]
struct Stamp {}

#[plugin]
impl Plugin for Stamp {
    fn on_request(&self, request: &mut Request) -> Action {
        request.set_header("x-version", version()).ok();
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        response.set_header("x-version", version()).ok();
        Action::Proceed
    }
}

/// Behind a black box, so that the compiler leaves the digits in one piece.
fn version() -> &'static [u8] {
    let version: &'static [u8; 22] = std::hint::black_box(&VERSION);
    version
        .rsplit(|&byte| byte == b':')
        .next()
        .unwrap_or_default()
}
