//! Secrets: named values that come from a file, the environment or a command, and are read again from
//! time to time, so that they can be rotated without a restart.
//!
//! [`Secrets`] holds them, [`Source`] reads one, [`Secret`] is a value that no log can show.

mod registry;
mod source;

use std::fmt;

use zeroize::Zeroizing;

pub use registry::{LoadError, Secrets, Settings};
pub use source::{Source, SourceError, VALUE_MAX};

/// The bytes of a secret. `Debug` and `Display` do not show them, and they are overwritten when the value
/// is dropped. There is no comparison: one that takes the same time for every input belongs to whoever
/// compares.
pub struct Secret(Zeroizing<Box<[u8]>>);

impl Secret {
    /// A copy of a value.
    pub fn new(value: &[u8]) -> Secret {
        Secret(Zeroizing::new(value.into()))
    }

    /// The value itself. Whoever calls this sees to it that it is not written anywhere.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new(b"hunter2");
        let all = format!("{secret} {secret:?} {:#?}", Some(&secret));
        assert!(!all.contains("hunter2"), "{all}");
        assert!(all.contains("[redacted]"), "{all}");
        assert_eq!(secret.expose(), b"hunter2");
    }
}
