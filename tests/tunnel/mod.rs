//! WebSockets and other connections that leave HTTP.

mod close;
mod extended_connect;
mod idle;
mod left;
mod many;
mod operation;
mod plugins;
mod refused;
mod tls;
mod upgrade;
pub mod websocket;

use crate::harness::{Origin, route_to};

/// A route to the origin, with these keys in `[limits]`.
fn limited(origin: &Origin, limits: &str) -> String {
    format!("[limits]\n{limits}\n{}", route_to(origin))
}
