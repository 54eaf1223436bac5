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
    #[error("another process uses the store {}; stop it, or give this one another store", .0.display())]
    Locked(PathBuf),
    #[error("{}: {error}", path.display())]
    Sealed { path: PathBuf, error: SealError },
}

impl Store {
    /// Opens the store, making its folder where there is none, and locks it.
    ///
    /// # Errors
    /// It cannot be made or written to, or another process uses it.
    pub fn open(root: &Path) -> Result<Arc<Store>, StoreError> {
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io { doing, path, error }
        };
        file::make_folder(root).map_err(failed("make the folder", root))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Store::open(folder.path()).unwrap();
        let second = Store::open(folder.path());
        assert!(matches!(second, Err(StoreError::Locked(_))));
        drop(first);
        Store::open(folder.path()).unwrap();
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
    fn a_folder_that_others_can_read_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("acme");
        std::fs::create_dir(&root).unwrap();
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
        Store::open(&root).unwrap();
        let mode = std::fs::metadata(&root).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
