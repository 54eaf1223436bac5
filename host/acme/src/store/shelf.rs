//! The part of a store that belongs to one authority.

use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::seal::{self, StoreKey};
use super::{Store, StoreError, file};
use crate::name::Name;
use crate::schedule::History;

/// What the name of a file begins with that holds an account. No certificate's does that ends so, too.
const ACCOUNT: &str = "account-";

/// The part of a store that belongs to one authority.
#[derive(Clone, Debug)]
pub struct Shelf {
    store: Arc<Store>,
    authority: Arc<str>,
    key: Option<StoreKey>,
}

impl Shelf {
    /// The part of this authority. With a key, what is written from now on is encrypted.
    ///
    /// # Errors
    /// Its folder cannot be made, or others can look into it.
    pub fn new(
        store: Arc<Store>,
        authority: &str,
        key: Option<StoreKey>,
    ) -> Result<Shelf, StoreError> {
        let shelf = Shelf::look_at(store, authority, key);
        let folder = shelf.folder();
        super::make_folder(&folder)?;
        Ok(shelf)
    }

    /// The part of this authority, as it is.
    pub(super) fn look_at(store: Arc<Store>, authority: &str, key: Option<StoreKey>) -> Shelf {
        Shelf {
            authority: slug(authority).into(),
            store,
            key,
        }
    }

    /// Reads all that a start would read.
    ///
    /// # Errors
    /// What cannot be read.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        for name in self.files()? {
            let certificate = name.strip_suffix(".pem").and_then(of_stem).is_some();
            if certificate || (name.starts_with(ACCOUNT) && name.ends_with(".json")) {
                self.read(&name)?;
            }
        }
        Ok(())
    }

    /// The account with the authority at this directory.
    ///
    /// # Errors
    /// It is there, but cannot be read.
    pub fn account(&self, directory: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.read(&account_file(directory))
    }

    /// Keeps an account.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_account(&self, directory: &str, account: &[u8]) -> Result<(), StoreError> {
        self.write(&account_file(directory), account, true)
    }

    /// Key and chain of the certificate with this main name, as PEM.
    ///
    /// # Errors
    /// It is there, but cannot be read.
    pub fn certificate(&self, main: &Name) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.read(&format!("{}.pem", stem(main)))
    }

    /// Keeps key and chain.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn keep_certificate(&self, main: &Name, pem: &[u8]) -> Result<(), StoreError> {
        self.write(&format!("{}.pem", stem(main)), pem, true)
    }

    /// What is remembered of the certificate with this main name. What cannot be read any more is
    /// forgotten: it costs an attempt.
    ///
    /// # Errors
    /// It is there, but cannot be read.
    pub fn history(&self, main: &Name) -> Result<History, StoreError> {
        let name = format!("{}.json", stem(main));
        let Some(content) = self.read(&name)? else {
            return Ok(History::default());
        };
        Ok(serde_json::from_slice(&content).unwrap_or_else(|error| {
            let file = self.folder().join(name);
            tracing::warn!(file = %file.display(), %error, "the file is damaged; what it held is forgotten");
            History::default()
        }))
    }

    /// Remembers.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_history(&self, main: &Name, history: &History) -> Result<(), StoreError> {
        let text = serde_json::to_vec_pretty(history).unwrap_or_default();
        self.write(&format!("{}.json", stem(main)), &text, false)
    }

    /// The main names of the certificates that are there.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn certificates(&self) -> Result<Vec<Name>, StoreError> {
        let files = self.files()?.into_iter();
        let mains = files.filter_map(|name| of_stem(name.strip_suffix(".pem")?));
        Ok(mains.collect())
    }

    fn files(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.folder();
        let entries = std::fs::read_dir(&folder).map_err(|error| StoreError::Io {
            doing: "read",
            path: folder,
            error,
        })?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }

    /// Puts a file that is damaged out of the way, so that it can be looked at and is not read again.
    pub fn set_aside_certificate(&self, main: &Name) {
        self.set_aside(&format!("{}.pem", stem(main)));
    }

    /// As [`Shelf::set_aside_certificate`], of an account.
    pub fn set_aside_account(&self, directory: &str) {
        self.set_aside(&account_file(directory));
    }

    fn set_aside(&self, name: &str) {
        let from = self.folder().join(name);
        let to = self.folder().join(format!("{name}.damaged"));
        if let Err(error) = std::fs::rename(&from, &to) {
            tracing::warn!(file = %from.display(), %error, "cannot set the damaged file aside");
        }
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.store.root.join(&*self.authority)
    }

    /// What encryption binds a file to. Without the root: a store can be moved.
    fn place(&self, name: &str) -> String {
        format!("{}/{name}", self.authority)
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let path = self.folder().join(name);
        let content = match file::read(&path) {
            Ok(Some(content)) => content,
            Ok(None) => return Ok(None),
            Err(error) => {
                let doing = "read";
                return Err(StoreError::Io { doing, path, error });
            }
        };
        seal::open(self.key.as_ref(), &self.place(name), content)
            .map(Some)
            .map_err(|error| StoreError::Sealed { path, error })
    }

    fn write(&self, name: &str, content: &[u8], secret: bool) -> Result<(), StoreError> {
        let path = self.folder().join(name);
        let key = self.key.as_ref().filter(|_| secret);
        let written = match key.map(|key| key.seal(&self.place(name), content)) {
            Some(Err(error)) => return Err(StoreError::Sealed { path, error }),
            Some(Ok(sealed)) => file::write(&path, &sealed),
            None => file::write(&path, content),
        };
        written.map_err(|error| {
            let doing = "write";
            StoreError::Io { doing, path, error }
        })
    }
}

/// `*` is awkward in a file's name, and `_` is in no name of a certificate.
fn stem(main: &Name) -> String {
    main.as_str().replacen('*', "_", 1)
}

fn of_stem(stem: &str) -> Option<Name> {
    Name::parse(&stem.replacen('_', "*", 1)).ok()
}

/// An authority that changes its directory is another one, and so is the account.
fn account_file(directory: &str) -> String {
    let place = directory.strip_prefix("https://").unwrap_or(directory);
    let place: String = slug(place).chars().take(150).collect();
    format!("{ACCOUNT}{place}.json")
}

fn slug(text: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let slug: String = text
        .chars()
        .map(|c| if legal(c) { c } else { '-' })
        .collect();
    // No `.` and `..`.
    slug.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use tempfile::TempDir;

    const DIRECTORY: &str = "https://ca.example/dir";

    fn shelf(folder: &TempDir, key: Option<&str>) -> Shelf {
        let store = Store::open(&folder.path().join("acme")).unwrap();
        let key = key.map(|key| StoreKey::new(Secret::new(key)).unwrap());
        Shelf::new(store, "le", key).unwrap()
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn what_is_kept_is_found_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(&folder, None);
        assert!(shelf.certificate(&name("a.example")).unwrap().is_none());
        shelf.keep_certificate(&name("a.example"), b"pem").unwrap();
        shelf
            .keep_certificate(&name("*.a.example"), b"wild")
            .unwrap();
        shelf
            .keep_certificate(&name("a.example"), b"second")
            .unwrap();
        shelf.keep_account(DIRECTORY, b"account").unwrap();
        let pem = shelf.certificate(&name("a.example")).unwrap().unwrap();
        assert_eq!(*pem, b"second");
        let account = shelf.account(DIRECTORY).unwrap().unwrap();
        assert_eq!(*account, b"account");
        assert!(shelf.account("https://ca.example/other").unwrap().is_none());
        let mut names = shelf.certificates().unwrap();
        names.sort();
        assert_eq!(names, [name("*.a.example"), name("a.example")]);

        let root = folder.path().join("acme");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&root), mode(&root.join("le"))), (0o700, 0o700));
        for entry in std::fs::read_dir(root.join("le")).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            assert!(path.extension().unwrap() != "tmp");
        }
    }

    #[test]
    fn a_history_is_kept_and_a_damaged_one_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(&folder, None);
        let history = History {
            failures: 3,
            ..History::default()
        };
        shelf.keep_history(&name("a.example"), &history).unwrap();
        assert_eq!(shelf.history(&name("a.example")).unwrap(), history);
        std::fs::write(folder.path().join("acme/le/a.example.json"), "{").unwrap();
        let forgotten = shelf.history(&name("a.example")).unwrap();
        assert_eq!(forgotten, History::default());
    }

    #[test]
    fn encryption_can_be_switched_on_and_not_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let key = Some("0123456789abcdef");
        shelf(&folder, None)
            .keep_certificate(&name("a.example"), b"plain")
            .unwrap();
        let sealed = shelf(&folder, key);
        let read = sealed.certificate(&name("a.example")).unwrap().unwrap();
        assert_eq!(*read, b"plain");
        sealed
            .keep_certificate(&name("a.example"), b"secret")
            .unwrap();
        let read = sealed.certificate(&name("a.example")).unwrap().unwrap();
        assert_eq!(*read, b"secret");
        drop(sealed);
        let bytes = std::fs::read(folder.path().join("acme/le/a.example.pem")).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
        let error = shelf(&folder, None).certificate(&name("a.example"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("a.example.pem: it is encrypted"), "{error}");
    }

    #[test]
    fn no_name_leads_out_of_the_store() {
        assert_eq!(slug("../../etc"), "-..-etc");
        assert_eq!(slug(".."), "");
        assert!(!account_file("https://ca/../../x").contains('/'));
    }
}
