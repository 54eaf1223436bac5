//! Plugins in the running proxy: what they can do, what they cannot, and how they are exchanged.

mod load;
mod support;

mod answers;
mod api_key;
mod basic_auth;
mod body_rewrite;
mod bounds;
mod cache;
mod canary;
mod composition;
mod configuration;
mod contract;
mod cors;
mod deadline;
mod ext_auth;
mod failures;
mod files;
mod headers;
mod ip_access;
mod jwt;
mod rate_limit;
mod refused;
mod request_limits;
mod rewrite;
mod samples;
mod security_headers;
mod swap;
mod wasi;
