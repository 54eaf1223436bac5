//! The data path: what clients and origins see.

mod answers;
mod balance;
mod client_gone;
mod connections;
mod expect_continue;
mod faults;
mod forwarding;
mod grpc;
mod h2c;
mod keepalive;
mod limits;
mod listeners;
mod messages;
mod paths;
mod routing;
mod timeouts;
