//! A component of the world `wasi:cli/command`: valid, and not a plugin.

#![forbid(unsafe_code)]

fn main() {}
