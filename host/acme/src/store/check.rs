//! Whether a start could use a store, found out without changing it.

use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

use super::{Shelf, Store, StoreError, StoreKey, is_private};

/// Looks whether this authority can use the store: that its folder can be made or written to, and that
/// what is there is private and can be read with this key. Another process may be using it.
///
/// # Errors
/// What a start would say.
pub fn check(root: &Path, authority: &str, key: Option<&StoreKey>) -> Result<(), StoreError> {
    let shelf = Shelf::look_at(Store::unlocked(root), authority, key.cloned());
    let folder = shelf.folder();
    let nearest = folder.ancestors().find(|folder| folder.exists());
    let nearest = nearest.unwrap_or(Path::new("/"));
    let failed = |error: io::Error| StoreError::Io {
        doing: "write to",
        path: nearest.to_owned(),
        error,
    };
    if !nearest.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    access(
        nearest,
        Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK,
    )
    .map_err(|error| failed(error.into()))?;
    for ours in [root, &folder].into_iter().filter(|ours| ours.exists()) {
        is_private(ours)?;
    }
    if nearest == folder {
        shelf.check()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::secret::Secret;

    fn key(text: &str) -> StoreKey {
        StoreKey::new(Secret::new(text)).unwrap()
    }

    #[test]
    fn a_store_that_is_not_there_yet_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b/acme");
        check(&root, "le", None).unwrap();
        assert!(!folder.path().join("a").exists());
        std::fs::write(folder.path().join("a"), "").unwrap();
        let error = check(&root, "le", None).unwrap_err().to_string();
        let place = folder.path().join("a").display().to_string();
        assert!(error.contains(&place), "{error}");
    }

    #[test]
    fn a_store_in_use_is_read_with_the_right_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("acme");
        let (ours, other) = (key("0123456789abcdef"), key("another key, long enough"));
        let store = Store::open(&root).unwrap();
        let shelf = Shelf::new(store, "le", Some(ours.clone())).unwrap();
        check(&root, "le", None).unwrap();
        shelf
            .keep_certificate(&Name::parse("a.example").unwrap(), b"pem")
            .unwrap();
        check(&root, "le", Some(&ours)).unwrap();
        for key in [Some(&other), None] {
            let error = check(&root, "le", key).unwrap_err().to_string();
            assert!(error.contains("le/a.example.pem: it "), "{error}");
        }
        // Files of another authority are none of its own.
        check(&root, "other", Some(&other)).unwrap();
    }

    #[test]
    fn an_account_counts_too() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("acme");
        let store = Store::open(&root).unwrap();
        let shelf = Shelf::new(store, "le", Some(key("0123456789abcdef"))).unwrap();
        shelf
            .keep_account("https://ca.example/dir", b"account")
            .unwrap();
        assert!(check(&root, "le", None).is_err());
    }
}
