//! The small filter of the bench, which says how many exchanges its instance has seen: one, where `reuse` is off.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};
use tidegate_sdk::prelude::*;

/// Exchanges that this instance has seen.
static SEEN: AtomicU32 = AtomicU32::new(0);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {}

#[plugin]
impl Plugin for Token {
    fn on_request(&self, request: &mut Request) -> Action {
        let seen = SEEN.fetch_add(1, Ordering::Relaxed) + 1;
        if request
            .header("x-token")
            .is_none_or(|token| token != "secret")
        {
            return request.respond(Reply::new(403).text(seen.to_string()));
        }
        request.set_header("x-bench", "1").ok();
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        response.set_header("x-bench", "1").ok();
        Action::Proceed
    }
}
