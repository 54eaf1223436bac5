//! The process: how it starts, reloads and stops, what it tells operators, and that it works with
//! programs that others wrote.

mod access_log;
mod admin;
mod cli;
mod documents;
mod examples;
mod idle;
mod instructions;
mod listener_caps;
mod listener_identity;
mod metrics;
mod nginx;
mod open_files;
mod reload;
mod secrets;
mod start;
mod stop;
mod systemd;
