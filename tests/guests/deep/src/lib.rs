//! Recurses without an end when the field `x-deep` is there: `memory` fills the stack that the guest has
//! in its memory, anything else the engine's own.

#![forbid(unsafe_code)]

use std::hint::black_box;

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Deep {}

#[plugin]
impl Plugin for Deep {
    fn on_request(&self, request: &mut Request) -> Action {
        request.set_header("x-touched", "deep").ok();
        let depth = match request.header("x-deep") {
            None => 0,
            Some(kind) if kind == "memory" => in_memory(1),
            Some(_) => in_engine(1),
        };
        black_box(depth);
        Action::Proceed
    }
}

#[allow(unconditional_recursion, reason = "what this guest is for")]
fn in_memory(depth: u64) -> u64 {
    let frame = black_box([depth; 512]);
    let below = in_memory(depth + 1);
    below + black_box(frame)[0]
}

/// Nothing here has an address, so that nothing is on the stack in memory.
#[inline(never)]
fn in_engine(depth: u64) -> u64 {
    if depth == 0 {
        return 1;
    }
    in_engine(depth + 1).wrapping_mul(3) ^ in_engine(depth | 1)
}
