//! Secrets that the operator granted by name: `allow = { secrets = ["jwt-key"] }`.
//!
//! A [`Secret`] stands for the present value, so one that is rotated needs no restart. Give it to
//! [`crypto`](crate::crypto) instead of revealing it where you can.
//!
//! ```
//! use tidegate_sdk::crypto::Hash;
//! use tidegate_sdk::prelude::*;
//! use tidegate_sdk::testing::{Exchange, Host};
//!
//! #[derive(Deserialize)]
//! struct Settings {
//!     secret: String,
//! }
//!
//! /// Signs the path for the upstream.
//! struct Sign {
//!     key: Secret,
//! }
//!
//! #[plugin]
//! impl Plugin for Sign {
//!     type Config = Settings;
//!
//!     fn configure(config: Settings, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
//!         let key = secrets::open(&config.secret)
//!             .map_err(|error| ConfigError::at("secret", format!("cannot be had: {error}")))?;
//!         Ok(Self { key })
//!     }
//!
//!     fn on_request(&self, request: &mut Request) -> Action {
//!         match crypto::hmac(Hash::Sha256, &self.key, request.path()) {
//!             Ok(code) => {
//!                 let code: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
//!                 request.set_header("x-signature", code).ok();
//!                 Action::Proceed
//!             }
//!             Err(_) => Action::Fail,
//!         }
//!     }
//! }
//!
//! let mut host = Host::new();
//! host.set_secret("path-key", "hunter2");
//! let mut sign = host.configure::<Sign>(r#"{ "secret": "path-key" }"#).unwrap();
//! let mut exchange = Exchange::get("/");
//! assert_eq!(sign.on_request(&mut exchange), Action::Proceed);
//! assert_eq!(exchange.request_header("x-signature").unwrap().len(), 64);
//! ```

use std::fmt;

use crate::{Error, host};

/// A secret, without its value. Valid in the instance that opened it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub(crate) u32);

/// The handle of a secret. Works in `configure` too.
///
/// # Errors
///
/// [`Error::Forbidden`] where it was not granted.
pub fn open(name: &str) -> Result<Secret, Error> {
    host::secrets::open(name).map(Secret)
}

impl Secret {
    /// The present value. Never log it, and keep no copy: it may be another the next time.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where the host does not have it at the moment.
    pub fn reveal(&self) -> Result<Vec<u8>, Error> {
        host::secrets::reveal(self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
