//! Keeps 64 KiB more with each request, and says in `x-calls`, to the upstream and to the client, how many requests
//! this instance has seen.

#![forbid(unsafe_code)]

use std::cell::RefCell;

use tidegate_sdk::prelude::*;

thread_local! {
    static HOARD: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Deserialize)]
struct Leak {}

#[plugin]
impl Plugin for Leak {
    fn on_request(&self, request: &mut Request) -> Action {
        let calls = HOARD.with_borrow_mut(|hoard| {
            hoard.push(std::hint::black_box(vec![1; 64 << 10]));
            hoard.len()
        });
        request.set_header("x-calls", calls.to_string()).ok();
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        let calls = HOARD.with_borrow(Vec::len);
        response.set_header("x-calls", calls.to_string()).ok();
        Action::Proceed
    }
}
