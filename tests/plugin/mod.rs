//! Plugins in the running proxy: what they can do, what they cannot, and how they are exchanged.

mod load;
mod support;

mod answers;
mod api_key;
mod bodies;
mod body_ends;
mod body_flow;
mod body_limits;
mod bounds;
mod cache;
mod composition;
mod configuration;
mod contract;
mod deadline;
mod failures;
mod files;
mod headers;
mod ip_access;
mod log_phase;
mod phases;
mod rate_limit;
mod refused;
mod samples;
mod streamed_reply;
mod swap;
mod tick;
mod trailers;
mod upstream_choice;
mod wasi;
