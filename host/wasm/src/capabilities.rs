//! What a plugin was granted, ready to be used.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_capability::crypto::{Jwks, Passwords};
use tidegate_capability::http::Client;
use tidegate_capability::kv::Store;
use tidegate_capability::limiter;
use tidegate_capability::secret::{Secret, Secrets};

/// The grants of one plugin; nothing by default.
#[derive(Clone, Default)]
pub struct Capabilities {
    /// The capabilities, as `allow` names them: `log`, `kv`, `http`, …
    pub words: BTreeSet<String>,
    /// Upstreams that it may choose besides the route's.
    pub upstreams: BTreeSet<String>,
    /// Its stores by name.
    pub stores: BTreeMap<String, Store>,
    /// Names of secrets that it may open.
    pub secret_names: BTreeSet<String>,
    /// Where their values are.
    pub secrets: Option<Arc<Secrets>>,
    /// Where its limits are, if not in this process.
    pub limiter: Option<limiter::Shared>,
    /// Whom it may call.
    pub http: Option<Client>,
    /// Key sets that are fetched for it.
    pub jwks: Option<Jwks>,
    /// Where passwords are checked.
    pub passwords: Option<Passwords>,
    /// Folders that a component built for WASI sees.
    pub folders: Vec<Folder>,
    /// Addresses that a component built for WASI may connect to.
    pub sockets: BTreeSet<SocketAddr>,
}

/// A folder that a component built for WASI sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub host: PathBuf,
    /// What the guest calls it.
    pub guest: String,
    /// Whether it may write there.
    pub write: bool,
}

impl Capabilities {
    /// Whether the capability that `allow` calls so was granted.
    pub(crate) fn allows(&self, word: &str) -> bool {
        self.words.contains(word)
    }

    /// Whether any of its stores is beyond this process.
    pub(crate) fn kv_waits(&self) -> bool {
        self.stores.values().any(Store::waits)
    }

    /// The present value of a secret that it may open.
    pub(crate) fn secret(&self, name: &str) -> Option<Arc<Secret>> {
        let granted = self.secret_names.contains(name);
        self.secrets.as_ref().filter(|_| granted)?.get(name)
    }
}

/// Grants are the same when they are one: what stands behind equal words can differ.
impl PartialEq for Capabilities {
    fn eq(&self, other: &Capabilities) -> bool {
        std::ptr::eq(self, other)
    }
}

impl std::fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capabilities")
            .field("words", &self.words)
            .finish_non_exhaustive()
    }
}
