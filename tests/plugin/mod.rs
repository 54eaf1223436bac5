//! Plugins in the running proxy: what they can do, what they cannot, and how they are exchanged.

mod load;
mod support;

mod answers;
mod api_key;
mod bodies;
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
mod rate_limit;
mod refused;
mod samples;
mod swap;
mod wasi;
