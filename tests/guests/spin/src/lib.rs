//! Loops for ever in the phase that the field `x-spin` names, after it has edited the head.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Spin {}

#[plugin]
impl Plugin for Spin {
    fn on_request(&self, request: &mut Request) -> Action {
        request.set_header("x-touched", "spin").ok();
        spin_if(request, "request");
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        response.set_header("x-touched", "spin").ok();
        spin_if(response.request(), "response");
        Action::Proceed
    }
}

fn spin_if(request: &Request, phase: &str) {
    let mut turns: u64 = 0;
    while request.header("x-spin").is_some_and(|asked| asked == phase) {
        // Most turns stay in the guest: a loop that only called the host would be another case.
        for _ in 0..1_000_000 {
            turns = std::hint::black_box(turns.wrapping_add(1));
        }
    }
}
