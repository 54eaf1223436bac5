//! The data path: what clients and origins see.

mod answers;
mod balance;
mod client_gone;
mod connections;
mod error_pages;
mod expect_continue;
mod faults;
mod forwarding;
mod grpc;
mod h2c;
mod https_manners;
mod keepalive;
mod limits;
mod listeners;
mod maintenance;
mod messages;
mod paths;
mod proxy_protocol;
mod proxy_protocol_peers;
mod route_limits;
mod routing;
mod timeouts;
mod upstream_forward;
mod upstream_messages;
mod upstream_proxy_protocol;
mod upstream_tls;
