//! Any text as a request's path: it has no normal form, or a stable one without surprises.

#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use tidegate_route::normalize_path;

fuzz_target!(|path: &str| {
    let Ok(normal) = normalize_path(path) else {
        return;
    };
    assert!(matches!(normalize_path(&normal), Ok(Cow::Borrowed(same)) if same == normal));
    assert!(normal.starts_with('/'));
    assert!(
        normal
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    );
    let closed = format!("{normal}/");
    assert!(!closed.contains("/../") && !closed.contains("/./") && !normal.contains("//"));
});
