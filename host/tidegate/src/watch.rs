//! Notices that files changed.
//!
//! The system's notifications come at once but not always (a symlink's target elsewhere, network file
//! systems), so the same folders are also looked at every two seconds. Either way the listener only
//! hears "something may have changed" and compares for itself.

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How often to look without being told.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Watches folders.
pub struct Watcher {
    changed: Arc<Notify>,
    system: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
}

impl Watcher {
    /// A watcher of nothing.
    pub fn new() -> Watcher {
        let changed = Arc::new(Notify::new());
        let tell = changed.clone();
        let system = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error is an event that was lost: better to look.
            if event.map_or(true, |event| is_change(event.kind)) {
                tell.notify_one();
            }
        });
        let system = system
            .inspect_err(|error| {
                tracing::warn!(%error, "no file notifications from the system; looking every two seconds instead");
            })
            .ok();
        Watcher {
            changed,
            system,
            folders: BTreeSet::new(),
        }
    }

    /// Watch these folders and no others.
    pub fn watch(&mut self, folders: BTreeSet<PathBuf>) {
        let Some(system) = &mut self.system else {
            return;
        };
        for gone in self.folders.difference(&folders) {
            // A folder that was deleted is not watched any more anyway.
            let _ = system.unwatch(gone);
        }
        for new in folders.difference(&self.folders) {
            if let Err(error) = system.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %new.display(), %error, "cannot watch; looking every two seconds instead");
            }
        }
        self.folders = folders;
    }

    /// Wait until something may have changed.
    pub async fn changed(&self) {
        // A timeout is as good as a notification.
        let _ = tokio::time::timeout(LOOK_EVERY, self.changed.notified()).await;
    }
}

/// Whether something was changed. To look at a folder is an event too, and looking is how a change is
/// answered: without this each look would cause the next. And a file that is being written is whole when it is
/// closed: a log in the same folder, our own perhaps, would wake us with each line.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Data(_)) => false,
        _ => true,
    }
}

/// What a file looked like: enough to see that it is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    device: u64,
    size: u64,
    modified: Option<std::time::SystemTime>,
}

impl Stamp {
    /// Whether there is nothing in the file.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Of the file that the path leads to, through symlinks; `None` where there is none.
    pub fn of(path: &Path) -> Option<Stamp> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).ok().filter(|m| m.is_file())?;
        Some(Stamp {
            inode: metadata.ino(),
            device: metadata.dev(),
            size: metadata.size(),
            modified: metadata.modified().ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn a_log_that_grows_is_no_change_and_its_end_is() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let mut log = std::fs::File::create(folder.path().join("access.log")).unwrap();
        let mut watcher = Watcher::new();
        watcher.watch(BTreeSet::from([folder.path().to_owned()]));
        let start = Instant::now();
        log.write_all(b"a line\n").unwrap();
        watcher.changed().await;
        assert!(start.elapsed() >= LOOK_EVERY);
        let start = Instant::now();
        drop(log);
        watcher.changed().await;
        assert!(start.elapsed() < LOOK_EVERY);
    }

    /// A watcher that is woken by its own looking never rests.
    #[tokio::test]
    async fn looking_is_no_change_and_writing_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        std::fs::write(&file, "1").unwrap();
        let mut watcher = Watcher::new();
        watcher.watch(BTreeSet::from([folder.path().to_owned()]));
        let start = Instant::now();
        std::fs::read_dir(folder.path()).unwrap().for_each(drop);
        std::fs::read(&file).unwrap();
        watcher.changed().await;
        assert!(start.elapsed() >= LOOK_EVERY);
        let start = Instant::now();
        std::fs::write(&file, "2").unwrap();
        watcher.changed().await;
        assert!(start.elapsed() < LOOK_EVERY);
    }
}
