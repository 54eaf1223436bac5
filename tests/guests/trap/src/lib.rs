//! Panics in the phase that the field `x-trap` names, after it has edited the head and set an attribute:
//! none of that may stay where the request goes on.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Trap {}

#[plugin]
impl Plugin for Trap {
    fn on_request(&self, request: &mut Request) -> Action {
        let asked = request.header("x-trap");
        request.set_header("x-touched", "trap").ok();
        request.remove_header("x-keep").ok();
        attributes::set("trap.touched", "yes").ok();
        assert!(asked.is_none_or(|phase| phase != "request"), "as asked");
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        let asked = response.request().header("x-trap");
        response.set_header("x-touched", "trap").ok();
        assert!(asked.is_none_or(|phase| phase != "response"), "as asked");
        Action::Proceed
    }
}
