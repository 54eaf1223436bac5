//! Takes more and more memory when the field `x-bomb` is there, until the host has had enough.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Bomb {}

#[plugin]
impl Plugin for Bomb {
    fn on_request(&self, request: &mut Request) -> Action {
        request.set_header("x-touched", "bomb").ok();
        if request.header("x-bomb").is_some() {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1; 1 << 20]));
            }
        }
        Action::Proceed
    }
}
