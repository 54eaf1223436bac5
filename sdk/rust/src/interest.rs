//! Which requests a plugin is called for.

use crate::host::interest as host;
use crate::{ConfigError, Error};

/// What the plugin is interested in; [`Plugin::configure`](crate::Plugin::configure) gets it.
///
/// The host checks interests itself and does not call the plugin for other requests, in any phase:
/// they cost nothing. Each method narrows; what is not called does not narrow.
#[derive(Debug)]
pub struct Interest(());

impl Interest {
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// Only requests with one of these methods.
    ///
    /// # Errors
    ///
    /// The host refuses one of them.
    pub fn methods<S: Into<String>>(
        &mut self,
        methods: impl IntoIterator<Item = S>,
    ) -> Result<(), ConfigError> {
        declare("methods", methods, host::methods)
    }

    /// Only requests whose path is one of these; a `*` at the end stands for any rest.
    ///
    /// # Errors
    ///
    /// The host refuses one of them.
    pub fn paths<S: Into<String>>(
        &mut self,
        paths: impl IntoIterator<Item = S>,
    ) -> Result<(), ConfigError> {
        declare("paths", paths, host::paths)
    }

    /// Only requests that have at least one of these header fields.
    ///
    /// # Errors
    ///
    /// The host refuses one of them.
    pub fn headers<S: Into<String>>(
        &mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<(), ConfigError> {
        declare("header fields", names, host::headers)
    }
}

fn declare<S: Into<String>>(
    what: &str,
    items: impl IntoIterator<Item = S>,
    function: fn(&[String]) -> Result<(), Error>,
) -> Result<(), ConfigError> {
    let items: Vec<String> = items.into_iter().map(S::into).collect();
    function(&items).map_err(|error| {
        let list = items.join("`, `");
        ConfigError::at(
            "",
            format!("the {what} `{list}` cannot be an interest: {error}"),
        )
    })
}
