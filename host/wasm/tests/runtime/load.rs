//! What becomes a plugin, and what a configuration makes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_chain::{FailureKind, Phase, Plugin};
use tidegate_wasm::{BindError, LoadError, PluginVersion, Settings, digest};

use crate::support::{guest, runtime, settings};

#[test]
fn a_plugin_says_what_it_is() {
    let bytes = guest("trap");
    let version = runtime(1).load(&"trap".into(), &bytes, None).unwrap();
    assert_eq!(version.name(), "trap");
    assert_eq!(version.digest(), digest(&bytes));
    assert!(version.digest().starts_with(version.version()));
    assert!(version.phases().contains(Phase::RequestHead));
    assert!(version.phases().contains(Phase::ResponseHead));
    assert!(!waits(&version));
    let ours = |import: &str| import.starts_with("tidegate:plugin/");
    assert!(
        version.imports().names().all(ours),
        "{:?}",
        version.imports()
    );
}

#[test]
fn a_plugin_that_imports_wasi_can_wait() {
    let version = runtime(1)
        .load(&"wasi".into(), &guest("wasi"), None)
        .unwrap();
    assert!(waits(&version));
}

#[test]
fn what_is_not_a_plugin_is_refused_by_what_it_is() {
    let runtime = runtime(1);
    let load = |bytes: &[u8]| runtime.load(&"p".into(), bytes, None).unwrap_err();
    let good = guest("stamp");
    assert!(matches!(load(b""), LoadError::Short(0)));
    assert!(matches!(load(&good[..5]), LoadError::Short(5)));
    assert!(matches!(load(b"some text, not code"), LoadError::NotWasm));
    assert!(matches!(load(b"\0asm\x01\0\0\0"), LoadError::CoreModule));
    assert!(matches!(
        load(&good[..good.len() / 2]),
        LoadError::Invalid(_)
    ));
    let command = load(&guest("wrong-world"));
    assert!(matches!(command, LoadError::NotAPlugin(_)), "{command}");
}

#[test]
fn a_pin_fits_one_file_alone() {
    let runtime = runtime(1);
    let (name, bytes): (Arc<str>, _) = ("p".into(), guest("stamp"));
    let pin = digest(&bytes);
    assert!(runtime.load(&name, &bytes, Some(&pin)).is_ok());
    let upper = pin.to_uppercase();
    assert!(runtime.load(&name, &bytes, Some(&upper)).is_ok());
    let other = runtime.load(&name, &guest("trap"), Some(&pin)).unwrap_err();
    assert!(matches!(other, LoadError::Pin { .. }));
}

#[tokio::test]
async fn a_refused_configuration_has_paths() {
    let runtime = runtime(2);
    let version = runtime
        .load(&"p".into(), &guest("bad-configure"), None)
        .unwrap();
    let config = r#"{ "refuse": ["a.0", ""] }"#;
    let refused = runtime.bind(&version, config, &settings()).await;
    let Err(BindError::Configuration(errors)) = refused else {
        panic!("it was not refused for its configuration");
    };
    let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["a.0", ""]);
    assert_eq!(errors[0].message, "`a.0` is refused");
    assert!(runtime.bind(&version, "{}", &settings()).await.is_ok());
}

#[tokio::test]
async fn a_configuration_that_does_not_end_is_cut() {
    let runtime = runtime(2);
    let version = runtime
        .load(&"p".into(), &guest("slow-configure"), None)
        .unwrap();
    let start = Instant::now();
    let cut = runtime
        .bind(&version, r#"{ "spin": true }"#, &settings())
        .await;
    let Err(BindError::Failure(failure)) = cut else {
        panic!("it was not cut");
    };
    assert_eq!(failure.kind, FailureKind::Deadline);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn the_same_use_is_bound_once() {
    let runtime = runtime(8);
    let version = runtime.load(&"p".into(), &guest("stamp"), None).unwrap();
    let settings = settings();
    let first = runtime.bind(&version, "{}", &settings).await.unwrap();
    let again = runtime.bind(&version, "{}", &settings).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    let other_config = runtime
        .bind(&version, r#"{"a":1}"#, &settings)
        .await
        .unwrap();
    assert!(!Arc::ptr_eq(&first, &other_config));
    let longer = Settings {
        deadline: Duration::from_secs(9),
        ..settings
    };
    let other_settings = runtime.bind(&version, "{}", &longer).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &other_settings));
    assert_eq!(&**first.name(), "p");
}

/// Whether anything that it imports can wait.
fn waits(version: &PluginVersion) -> bool {
    let imports = version.imports();
    imports.wasi() || imports.waiting().is_some()
}
