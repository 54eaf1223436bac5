//! The host's functions: imports of the component on Wasm, the fake host of [`crate::testing`]
//! elsewhere. Both have the same signatures, so everything above is written once.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::host::tidegate::plugin::{
    attributes, body, clock, crypto, http_client, interest, kv, limiter, log, metrics, outcome,
    random, reply, request, response, secrets, trailers, upstream,
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::imports::{
    attributes, body, clock, crypto, http_client, interest, kv, limiter, log, metrics, outcome,
    random, reply, request, response, secrets, trailers, upstream,
};
