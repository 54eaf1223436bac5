//! The host's functions: imports of the component on Wasm, the fake host of [`crate::testing`]
//! elsewhere. Both have the same signatures, so everything above is written once.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::host::tidegate::plugin::{
    attributes, body, clock, interest, limiter, log, metrics, outcome, reply, request, response,
    trailers, upstream,
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::imports::{
    attributes, body, clock, interest, limiter, log, metrics, outcome, reply, request, response,
    trailers, upstream,
};
