//! Named stores of keys and values that the operator granted: `allow = { kv = ["sessions"] }`.
//!
//! Each plugin has keys of its own in each store. In memory, a store is bounded and shared by all
//! instances and threads; what is least recently used makes room. In Redis, several proxies share
//! it, and these functions wait.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_sdk::prelude::*;
//! use tidegate_sdk::testing::{Exchange, Host};
//!
//! #[derive(Deserialize)]
//! struct Visits {}
//!
//! #[plugin]
//! impl Plugin for Visits {
//!     fn on_request(&self, request: &mut Request) -> Action {
//!         let visits = Store::open("visits");
//!         let day = Duration::from_secs(86_400);
//!         match visits.increment(request.host(), 1, Some(day)) {
//!             Ok(count) => request.set_header("x-visits", count.to_string()).ok(),
//!             Err(_) => None,
//!         };
//!         Action::Proceed
//!     }
//! }
//!
//! let mut host = Host::new();
//! host.add_store("visits");
//! let mut visits = host.configure::<Visits>("{}").unwrap();
//! let mut exchange = Exchange::get("/");
//! visits.on_request(&mut exchange);
//! visits.on_request(&mut exchange);
//! assert_eq!(exchange.request_header("x-visits").as_deref(), Some("2"));
//! ```

use std::time::Duration;

use crate::time::nanoseconds;
use crate::{Error, host};

/// A store. Keys have 1 byte to 1 KiB, values up to 1 MiB.
///
/// Every method answers [`Error::Forbidden`] where the store was not granted,
/// [`Error::InvalidArgument`] for a key or value of another size, and [`Error::Unavailable`] or
/// [`Error::Timeout`] where the store cannot answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    name: String,
}

impl Store {
    /// The store of this name. Whether it was granted shows when it is used.
    pub fn open(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// See [`Store`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        host::kv::get(&self.name, key.as_ref())
    }

    /// Set a key, for as long as `ttl`; `None` for no end.
    ///
    /// # Errors
    ///
    /// See [`Store`].
    pub fn set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let ttl = ttl.map(nanoseconds);
        host::kv::set(&self.name, key.as_ref(), value.as_ref(), ttl)
    }

    /// Remove a key; answers whether it was there.
    ///
    /// # Errors
    ///
    /// See [`Store`].
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        host::kv::delete(&self.name, key.as_ref())
    }

    /// Set a key if its value is `expected` (`None`: if it is absent), in one step. Answers whether
    /// it was.
    ///
    /// # Errors
    ///
    /// See [`Store`].
    pub fn compare_and_set(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        value: impl AsRef<[u8]>,
        ttl: Option<Duration>,
    ) -> Result<bool, Error> {
        let (key, value) = (key.as_ref(), value.as_ref());
        host::kv::compare_and_set(&self.name, key, expected, value, ttl.map(nanoseconds))
    }

    /// Add to a number, in one step, and answer the sum. An absent key counts as 0 and gets the
    /// `ttl`; one that is there keeps its own. The value is decimal text.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidValue`] for a value that is no number, or a sum that does not fit; see also
    /// [`Store`].
    pub fn increment(
        &self,
        key: impl AsRef<[u8]>,
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, Error> {
        host::kv::increment(&self.name, key.as_ref(), by, ttl.map(nanoseconds))
    }
}
