//! The trait that a plugin implements.

use serde::de::DeserializeOwned;

use crate::{Action, BodyAction, ConfigError, CutOff, Interest, Outcome, Request, RequestBody};
use crate::{Response, ResponseBody, Trailers, Upstream};

/// A plugin: how it is made from its configuration, and what it does in each phase.
///
/// Put [`#[plugin]`](macro@crate::plugin) on the `impl`. It exports the phases that are written
/// there, and no others. What is left out has a default:
///
/// - `Config` and `configure`: the type is its own configuration. `type Config = Self`, and
///   `configure` returns it as it is.
/// - `RequestBodyState`, `ResponseBodyState`, `ReplyState`: nothing is kept, `()`.
pub trait Plugin: Sized + 'static {
    /// The configuration: the `config` table of the route, `{}` where there is none. Put
    /// `#[serde(deny_unknown_fields)]` on it, so that a misspelt key is an error.
    type Config: DeserializeOwned;

    /// What [`on_request_body`](Self::on_request_body) keeps from piece to piece of one streamed
    /// body. It begins with its default, and is dropped when the body is over.
    type RequestBodyState: Default + 'static;

    /// The same for [`on_response_body`](Self::on_response_body).
    type ResponseBodyState: Default + 'static;

    /// What [`on_reply_body`](Self::on_reply_body) makes a reply's body from. It begins with what
    /// [`Request::respond_streaming`] was given, and is dropped when the body is over.
    type ReplyState: 'static;

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

    /// Data of the request's body is there, in the mode that [`Interest::request_body`] asked for.
    fn on_request_body(&self, body: &mut RequestBody<Self::RequestBodyState>) -> BodyAction {
        let _ = body;
        BodyAction::Pass
    }

    /// An upstream is about to be chosen, once for each request that goes to one. The last plugin
    /// of the route that chooses decides.
    fn on_upstream_choice(&self, request: &mut Request, upstream: &mut Upstream) -> Action {
        let _ = (request, upstream);
        Action::Proceed
    }

    /// A peer is chosen and connected, its request about to be sent: once for each attempt, each
    /// time on a fresh copy of the head, whose edits only this peer gets.
    fn on_upstream_request(&self, request: &mut Request, upstream: &Upstream) -> Action {
        let _ = (request, upstream);
        Action::Proceed
    }

    /// The response's head is there; nothing of it was sent to the client.
    fn on_response(&self, response: &mut Response) -> Action {
        let _ = response;
        Action::Proceed
    }

    /// Data of the response's body is there, in the mode that [`Interest::response_body`] asked
    /// for. A response without a body (to HEAD, 204, 304) has no call.
    fn on_response_body(&self, body: &mut ResponseBody<Self::ResponseBodyState>) -> BodyAction {
        let _ = body;
        BodyAction::Pass
    }

    /// The upstream sent trailers after the body: only from HTTP/2 to HTTP/2. It is too late for
    /// a reply.
    fn on_response_trailers(&self, trailers: &mut Trailers) -> Action {
        let _ = trailers;
        Action::Proceed
    }

    /// The client can take the next piece of the body that a reply began with
    /// [`Request::respond_streaming`]: up to 1 MiB, `None` at the end. Each call has a deadline of
    /// its own.
    ///
    /// # Errors
    ///
    /// The body cannot be finished.
    fn on_reply_body(&self, state: &mut Self::ReplyState) -> Result<Option<Vec<u8>>, CutOff> {
        let _ = state;
        Ok(None)
    }

    /// The exchange is over, however it ended: once for each request that the plugin is interested
    /// in. The client does not wait for this, and nothing of it changes what the client got.
    fn on_log(&self, outcome: &Outcome) {
        let _ = outcome;
    }

    /// The period that [`Interest::tick`] asked for has passed. Outside of exchanges, on one
    /// instance per process for each configuration, first right after `configure`.
    fn on_tick(&self) {}
}
