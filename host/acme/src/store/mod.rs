//! Where accounts, keys and certificates are kept.
//!
//! ```text
//! store/                                0700, locked by the process that uses it
//!   lock
//!   letsencrypt/                        one folder for each authority of the configuration
//!     account-acme-v02.api.letsencrypt.org.json
//!     example.com.pem                   key and chain in one file, so that they always fit
//!     example.com.json                  what is remembered between attempts
//! ```
//!
//! Files are 0600 and replaced as a whole. With a key, those that hold keys are encrypted.

mod check;
mod file;
mod seal;
mod shelf;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use check::check;
pub use seal::{KeyTooShort, SealError, StoreKey};
pub use shelf::Shelf;

/// A folder of files, which no other process uses.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// Locked until it is closed; there unless it is only looked at.
    _lock: Option<File>,
}

/// What is wrong with a store, and where.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "cannot {doing} {}: {error}. The user that the proxy runs as needs a folder that it can write to",
        path.display()
    )]
    Io {
        doing: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    #[error(
        "others can look into {} (its mode is {mode:04o}), and it is to hold keys. If it is for nothing else, run `chmod 700 {}`; \
         otherwise name another folder",
        path.display(), path.display()
    )]
    Open { path: PathBuf, mode: u32 },
    #[error(
        "{} belongs to another user (number {owner}) than the proxy runs as, who could read the keys in it. Run `chown` on \
         it, or name another folder",
        path.display()
    )]
    NotOurs { path: PathBuf, owner: u32 },
    #[error("another process uses the store {}; stop it, or give this one another store", .0.display())]
    Locked(PathBuf),
    #[error("{}: {error}", path.display())]
    Sealed { path: PathBuf, error: SealError },
}

impl StoreError {
    fn io(doing: &'static str, path: &Path, error: io::Error) -> StoreError {
        let path = path.to_owned();
        StoreError::Io { doing, path, error }
    }
}

impl Store {
    /// Opens the store, making its folder where there is none, and locks it.
    ///
    /// # Errors
    /// It cannot be made or written to, others can look into it, or another process uses it.
    pub fn open(root: &Path) -> Result<Arc<Store>, StoreError> {
        let failed = |doing, path| move |error| StoreError::io(doing, path, error);
        make_folder(root)?;
        let path = root.join("lock");
        let lock = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("write", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(root.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        Ok(Arc::new(Store {
            root: root.to_owned(),
            _lock: Some(lock),
        }))
    }

    /// One that is looked at while another process may use it. Nothing is made or locked.
    fn unlocked(root: &Path) -> Arc<Store> {
        Arc::new(Store {
            root: root.to_owned(),
            _lock: None,
        })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// A folder for this process alone: made, or found to be one.
fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let failed = |doing| move |error| StoreError::io(doing, folder, error);
    file::make_folder(folder).map_err(failed("make the folder"))?;
    if let Some(owner) = file::other_owner(folder).map_err(failed("look at"))? {
        let path = folder.to_owned();
        return Err(StoreError::NotOurs { path, owner });
    }
    is_private(folder)
}

/// Refuses a folder that others can look into.
fn is_private(folder: &Path) -> Result<(), StoreError> {
    let mode = file::open_mode(folder);
    let mode = mode.map_err(|error| StoreError::io("look at", folder, error))?;
    let path = folder.to_owned();
    mode.map_or(Ok(()), |mode| Err(StoreError::Open { path, mode }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("acme");
        let first = Store::open(&root).unwrap();
        let second = Store::open(&root);
        assert!(matches!(second, Err(StoreError::Locked(_))));
        drop(first);
        Store::open(&root).unwrap();
    }

    #[test]
    fn a_store_that_cannot_be_written_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Store::open(&file.join("acme")).unwrap_err().to_string();
        assert!(error.contains(&file.display().to_string()), "{error}");
    }

    #[test]
    fn a_folder_that_is_there_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("acme");
        std::fs::create_dir(&root).unwrap();
        for (mode, is_private) in [
            (0o755, false),
            (0o710, false),
            (0o1777, false),
            (0o700, true),
        ] {
            std::fs::set_permissions(&root, std::fs::Permissions::from_mode(mode)).unwrap();
            let checked = check(&root, "le", None).map_err(|error| error.to_string());
            let opened = Store::open(&root).map_err(|error| error.to_string());
            let now = std::fs::metadata(&root).unwrap().permissions().mode();
            assert_eq!(now & 0o7777, mode);
            assert_eq!(opened.is_ok(), is_private, "{mode:o}");
            assert_eq!(checked.is_ok(), is_private, "{mode:o}");
            let advice = format!("run `chmod 700 {}`", root.display());
            for error in [opened.err(), checked.err()].into_iter().flatten() {
                assert!(error.contains(&advice), "{error}");
            }
        }
    }

    #[test]
    fn a_folder_that_is_made_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b");
        Store::open(&root).unwrap();
        let mode = std::fs::metadata(&root).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        // Only root can give a folder away.
        if std::os::unix::fs::chown(folder.path(), Some(12345), None).is_err() {
            return;
        }
        let error = Store::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("number 12345"), "{error}");
    }
}
