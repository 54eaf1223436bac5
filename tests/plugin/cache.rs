//! Compiled code is kept and used again, but only where nobody else can have written it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::Proxy;

use super::support::{echo_route, folder, stamp};

/// A proxy whose cache is outside of its own folder, with two plugins.
async fn started(cache: &Path) -> Proxy {
    let files = [("one.wasm", stamp(1)), ("two.wasm", stamp(2))];
    let config = format!(
        "[plugins]\nallow = [\"log\", \"metrics\", \"clock\", \"random\", \"attributes\", \"limiter\", \"crypto\"]\ndeadline = \"2s\"\ncache = {:?}\n{}{}",
        cache.to_str().unwrap(),
        echo_route("one", "/one", "[\"one\"]"),
        echo_route("two", "/two", "[\"two\"]")
    );
    let proxy = Proxy::start_in(folder(&files), &config).await;
    assert_eq!(proxy.get("/one").await.header("x-version"), "00000001");
    assert_eq!(proxy.get("/two").await.header("x-version"), "00000002");
    proxy
}

/// The files of compiled code, and which file each name is: one that was compiled again is another.
fn entries(cache: &Path) -> Vec<(PathBuf, u64)> {
    let files = fs::read_dir(cache).unwrap().flatten();
    let mut entries: Vec<_> = files
        .map(|file| (file.path(), file.metadata().unwrap().ino()))
        .filter(|(path, _)| {
            path.extension()
                .is_some_and(|extension| extension == "cwasm")
        })
        .collect();
    entries.sort();
    entries
}

#[tokio::test]
async fn a_second_start_compiles_nothing() {
    let cache = TempDir::new().unwrap();
    drop(started(cache.path()).await);
    let first = entries(cache.path());
    assert_eq!(first.len(), 2);
    let second = started(cache.path()).await;
    assert_eq!(entries(cache.path()), first);
    assert!(!second.written().contains("compiling again"));
}

#[tokio::test]
async fn an_entry_that_was_changed_is_compiled_again() {
    let cache = TempDir::new().unwrap();
    drop(started(cache.path()).await);
    let first = entries(cache.path());
    let good = fs::read(&first[0].0).unwrap();
    let middle = good.len() / 2;
    let mut flipped = good.clone();
    flipped[middle] ^= 1;
    let mut forged = good.clone();
    forged[0] ^= 1;
    for bad in [flipped, forged, good[..middle].to_vec(), Vec::new()] {
        fs::write(&first[0].0, &bad).unwrap();
        let before = entries(cache.path());
        let proxy = started(cache.path()).await;
        let after = entries(cache.path());
        assert_ne!(after[0], before[0], "compiled again");
        assert_eq!(after[1], before[1], "the other is as it was");
        if bad.len() > 32 {
            assert!(proxy.written().contains("compiling again"));
        }
    }
}

#[tokio::test]
async fn one_entry_cannot_stand_in_for_another() {
    let cache = TempDir::new().unwrap();
    drop(started(cache.path()).await);
    let entries = entries(cache.path());
    fs::copy(&entries[0].0, &entries[1].0).unwrap();
    let proxy = started(cache.path()).await;
    assert!(proxy.written().contains("compiling again"));
}

#[tokio::test]
async fn a_folder_that_others_can_write_to_is_not_used() {
    let cache = TempDir::new().unwrap();
    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let proxy = started(cache.path()).await;
    let line = proxy
        .log_line("a warning", |line| {
            line.text.contains("cannot use the compiled-code cache")
        })
        .await;
    assert_eq!(line.field("level").as_deref(), Some("WARN"));
    assert!(line.text.contains("plugins are compiled at every start"));
    assert_eq!(entries(cache.path()), []);
}

#[tokio::test]
async fn a_key_that_others_can_read_is_not_used() {
    let cache = TempDir::new().unwrap();
    drop(started(cache.path()).await);
    let before = entries(cache.path());
    let key = cache.path().join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let proxy = started(cache.path()).await;
    assert!(
        proxy
            .written()
            .contains("plugins are compiled at every start")
    );
    assert_eq!(entries(cache.path()), before);
}

#[tokio::test]
async fn what_it_makes_belongs_to_its_user_alone() {
    let parent = TempDir::new().unwrap();
    let cache = parent.path().join("a/b");
    drop(started(&cache).await);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    assert_eq!(mode(&cache.join("key")), 0o600);
    for (entry, _) in entries(&cache) {
        assert_eq!(mode(&entry), 0o600);
    }
}
