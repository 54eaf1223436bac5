//! Which requests a plugin is called for, and with which part of them.

use std::time::Duration;

use crate::host::interest as host;
use crate::time::nanoseconds;
use crate::{BodyMode, ConfigError, Error};

/// What the plugin is interested in; [`Plugin::configure`](crate::Plugin::configure) gets it.
///
/// The host checks interests itself and does not call the plugin for other requests, in any phase:
/// they cost nothing. Each method narrows; what is not called does not narrow.
#[derive(Debug)]
pub struct Interest {
    pub(crate) request_body: BodyMode,
    pub(crate) response_body: BodyMode,
}

impl Interest {
    pub(crate) fn new() -> Self {
        Self {
            request_body: BodyMode::None,
            response_body: BodyMode::None,
        }
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

    /// How to call [`Plugin::on_request_body`](crate::Plugin::on_request_body); not at all where
    /// this is not called.
    ///
    /// # Errors
    ///
    /// A size above what the operator allows (`body_bytes`).
    pub fn request_body(&mut self, mode: BodyMode) -> Result<(), ConfigError> {
        host::request_body(mode).map_err(|error| refused("request body", mode, error))?;
        self.request_body = mode;
        Ok(())
    }

    /// How to call [`Plugin::on_response_body`](crate::Plugin::on_response_body); not at all where
    /// this is not called.
    ///
    /// # Errors
    ///
    /// A size above what the operator allows (`body_bytes`).
    pub fn response_body(&mut self, mode: BodyMode) -> Result<(), ConfigError> {
        host::response_body(mode).map_err(|error| refused("response body", mode, error))?;
        self.response_body = mode;
        Ok(())
    }

    /// Call [`Plugin::on_tick`](crate::Plugin::on_tick) in this period, at least a second.
    ///
    /// # Errors
    ///
    /// A shorter period.
    pub fn tick(&mut self, period: Duration) -> Result<(), ConfigError> {
        host::tick(nanoseconds(period)).map_err(|error| {
            ConfigError::at("", format!("cannot be called every {period:?}: {error}"))
        })
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

fn refused(what: &str, mode: BodyMode, error: Error) -> ConfigError {
    let how = match mode {
        BodyMode::None => "be skipped".to_owned(),
        BodyMode::Streaming => "be streamed".to_owned(),
        BodyMode::Buffer(bytes) => format!("be buffered up to {bytes} bytes"),
        BodyMode::Peek(bytes) => format!("be peeked at, {bytes} bytes of it"),
    };
    ConfigError::at("", format!("the {what} cannot {how}: {error}"))
}
