//! Which requests a plugin is called for, and with which part of them.

use std::time::Duration;

use crate::bindings::host::tidegate::plugin::interest::DeclaredEdit;
use crate::host::interest as host;
use crate::time::nanoseconds;
use crate::{BodyMode, ConfigError, DeclaredEdits, Error};

/// What the plugin is interested in; [`Plugin::configure`](crate::Plugin::configure) gets it.
///
/// The host checks interests itself and does not call the plugin for other requests, in any phase:
/// they cost nothing. Each method narrows; what is not called does not narrow. What needs nothing but constants and
/// attributes can be done without a call as well: [`edit_request`](Self::edit_request), [`edit_response`](Self::edit_response).
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

    /// Let the host make these edits of every request's head, in place of calling
    /// [`Plugin::on_request`](crate::Plugin::on_request): for values that are always the same ([`Edits`](crate::Edits)) or
    /// put together from attributes ([`DeclaredEdits`]), at a fraction of the cost. Without any, the plugin has
    /// nothing to do there, and nothing is done. The last call counts.
    ///
    /// ```
    /// # use tidegate_sdk::prelude::*;
    /// # use tidegate_sdk::testing::{Exchange, Instance};
    /// # #[derive(Deserialize)]
    /// # struct Config { stage: String }
    /// struct Stage;
    ///
    /// #[plugin]
    /// impl Plugin for Stage {
    ///     type Config = Config;
    ///
    ///     fn configure(config: Config, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
    ///         let mut edits = DeclaredEdits::new();
    ///         edits.set("x-stage", [ValuePart::bytes(config.stage + "-"), ValuePart::attribute("route")]);
    ///         interest.edit_request(edits)?;
    ///         Ok(Stage)
    ///     }
    /// #   fn on_log(&self, _: &Outcome) {}
    /// }
    ///
    /// let mut stage = Instance::<Stage>::configure(r#"{ "stage": "test" }"#).unwrap();
    /// let mut exchange = Exchange::get("/").attribute("route", "shop");
    /// stage.on_request(&mut exchange);
    /// assert_eq!(exchange.request_header("x-stage").unwrap(), "test-shop");
    /// ```
    ///
    /// # Errors
    ///
    /// The host refuses one of them, there are more than 1024, or attributes were not granted. A head that has no
    /// room for them later, or an attribute that is not a field's value, is as if the plugin had answered
    /// [`Action::Fail`](crate::Action::Fail).
    pub fn edit_request(&mut self, edits: impl Into<DeclaredEdits>) -> Result<(), ConfigError> {
        declare_edits("requests", &edits.into(), host::edit_request)
    }

    /// As [`edit_request`](Self::edit_request), of every response's head and in place of
    /// [`Plugin::on_response`](crate::Plugin::on_response).
    ///
    /// # Errors
    ///
    /// As for [`edit_request`](Self::edit_request).
    pub fn edit_response(&mut self, edits: impl Into<DeclaredEdits>) -> Result<(), ConfigError> {
        declare_edits("responses", &edits.into(), host::edit_response)
    }
}

fn declare_edits(
    what: &str,
    edits: &DeclaredEdits,
    function: fn(&[DeclaredEdit]) -> Result<(), Error>,
) -> Result<(), ConfigError> {
    function(edits.as_slice()).map_err(|error| {
        if error == Error::Forbidden && edits.refused().is_none() && edits.read_attributes() {
            let message = format!(
                "its edits of {what} read attributes, which it may not: add \"attributes\" to `allow`"
            );
            return ConfigError::at("", message);
        }
        // The host says why, and not which.
        let field = edits.refused().map(|name| format!(" of `{name}`"));
        let field = field.unwrap_or_default();
        ConfigError::at(
            "",
            format!("the edit{field} in {what} cannot be made: {error}"),
        )
    })
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
