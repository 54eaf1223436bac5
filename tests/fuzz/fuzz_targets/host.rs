//! Any text as a `Host` value: it names no host, or one in a stable form, which is also a pattern for it.

#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use tidegate_route::{HostPattern, host};

fuzz_target!(|authority: &str| {
    let Ok(name) = host(authority) else {
        return;
    };
    assert_eq!(host(&name), Ok(Cow::Borrowed(name.as_ref())));
    assert!(!name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
    assert!(HostPattern::parse(&name).is_ok());
});
