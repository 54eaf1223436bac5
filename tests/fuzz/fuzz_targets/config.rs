//! Any text as a configuration file: it is refused with an error that can be shown, or resolved.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_config::{Config, Source};

fuzz_target!(|text: &str| {
    if let Err(errors) = Config::parse(Source::new("tidegate.toml", text), std::iter::empty()) {
        assert!(!errors.to_string().is_empty());
    }
});
