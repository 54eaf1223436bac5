//! The proxy's log: `log::info!("saw {name}")`, with `trace`, `debug`, `info`, `warn` and `error`.
//!
//! Lines carry the plugin, its version and the request id by themselves. A line whose level is not
//! kept is not formatted. Never log a secret.

use std::fmt;

use crate::host;

pub use crate::bindings::host::tidegate::plugin::log::Level;
#[doc(inline)]
pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace,
    __log_warn as warn,
};

/// Write one line, if lines of this level are kept. The macros are shorter.
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    if !host::log::enabled(level) {
        return;
    }
    match message.as_str() {
        Some(text) => host::log::write(level, text),
        None => host::log::write(level, &message.to_string()),
    }
}

/// Write a line at level `trace`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Trace, ::std::format_args!($($message)+)) };
}

/// Write a line at level `debug`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Debug, ::std::format_args!($($message)+)) };
}

/// Write a line at level `info`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Info, ::std::format_args!($($message)+)) };
}

/// Write a line at level `warn`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Warn, ::std::format_args!($($message)+)) };
}

/// Write a line at level `error`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Error, ::std::format_args!($($message)+)) };
}
