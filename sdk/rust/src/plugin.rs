//! The trait that a plugin implements.

use serde::de::DeserializeOwned;

use crate::{Action, ConfigError, Interest, Request, Response};

/// A plugin: how it is made from its configuration, and what it does in each phase.
///
/// Put [`#[plugin]`](macro@crate::plugin) on the `impl`. It exports the phases that are written
/// there, and no others. Where `Config` and `configure` are left out, the type is its own
/// configuration: `type Config = Self`, and `configure` returns it as it is.
pub trait Plugin: Sized + 'static {
    /// The configuration: the `config` table of the route, `{}` where there is none. Put
    /// `#[serde(deny_unknown_fields)]` on it, so that a misspelt key is an error.
    type Config: DeserializeOwned;

    /// Make the plugin. Called once in each instance, before anything else, and by
    /// `tidegate check`.
    ///
    /// # Errors
    ///
    /// What is wrong in the configuration, each mistake with its place.
    fn configure(config: Self::Config, interest: &mut Interest) -> Result<Self, Vec<ConfigError>>;

    /// The request's head is there and routed; nothing was sent to an upstream.
    fn on_request(&self, request: &mut Request) -> Action {
        let _ = request;
        Action::Proceed
    }

    /// The response's head is there; nothing of it was sent to the client.
    fn on_response(&self, response: &mut Response) -> Action {
        let _ = response;
        Action::Proceed
    }
}
