//! What `#[plugin]` expands to: the component's exports, around one value of the plugin's type.

use std::cell::{Cell, OnceCell};

use crate::body::BodyState;
use crate::reply::Begun;
use crate::{
    Action, BodyAction, ConfigError, CutOff, Interest, Outcome, Plugin, Request, RequestBody,
};
use crate::{Response, ResponseBody, Trailers, Upstream, config};

/// Where an instance keeps its plugin, once it is configured.
pub type Slot<P> = OnceCell<Configured<P>>;

/// A plugin, and what it keeps between the calls of a body.
pub struct Configured<P: Plugin> {
    plugin: P,
    request_body: BodyState<P::RequestBodyState>,
    response_body: BodyState<P::ResponseBodyState>,
    reply: Cell<Option<P::ReplyState>>,
}

impl<P: Plugin> Configured<P> {
    /// What a call began to stream is for `on_reply_body`.
    fn keep(&self, begun: Begun) {
        if let Some(state) = begun.into_state() {
            self.reply.set(Some(state));
        }
    }
}

/// The export `configuration.configure`: fill the slot.
///
/// # Errors
///
/// The configuration's mistakes; or that the host called it twice, which it promises not to.
pub fn configure<P: Plugin>(slot: &Slot<P>, json: &str) -> Result<(), Vec<ConfigError>> {
    let config = config::parse::<P::Config>(json)?;
    let mut interest = Interest::new();
    let configured = Configured {
        plugin: P::configure(config, &mut interest)?,
        request_body: BodyState::new(interest.request_body),
        response_body: BodyState::new(interest.response_body),
        reply: Cell::new(None),
    };
    slot.set(configured)
        .map_err(|_| vec![ConfigError::at("", "this instance is configured already")])
}

/// The export `on-request-head.handle`.
pub fn on_request<P: Plugin>(slot: &Slot<P>) -> Action {
    with_request(slot, |plugin, request| plugin.on_request(request))
}

/// The export `on-request-body.handle`.
pub fn on_request_body<P: Plugin>(slot: &Slot<P>, data: Vec<u8>, end: bool) -> BodyAction {
    let Some(configured) = slot.get() else {
        return BodyAction::Fail;
    };
    let state = configured.request_body.take();
    let mut body = RequestBody::new(data, end, state);
    let action = configured.plugin.on_request_body(&mut body);
    let over = body.is_over(&action);
    configured.request_body.keep(body.state, over);
    configured.keep(body.request.begun);
    action
}

/// The export `on-upstream-choice.handle`.
pub fn on_upstream_choice<P: Plugin>(slot: &Slot<P>) -> Action {
    with_request(slot, |plugin, request| {
        plugin.on_upstream_choice(request, &mut Upstream::new())
    })
}

/// The export `on-upstream-request.handle`.
pub fn on_upstream_request<P: Plugin>(slot: &Slot<P>) -> Action {
    with_request(slot, |plugin, request| {
        plugin.on_upstream_request(request, &Upstream::new())
    })
}

/// The export `on-response-head.handle`.
pub fn on_response<P: Plugin>(slot: &Slot<P>) -> Action {
    let Some(configured) = slot.get() else {
        return Action::Fail;
    };
    let mut response = Response::new();
    let action = configured.plugin.on_response(&mut response);
    configured.keep(response.request.begun);
    action
}

/// The export `on-response-body.handle`.
pub fn on_response_body<P: Plugin>(slot: &Slot<P>, data: Vec<u8>, end: bool) -> BodyAction {
    let Some(configured) = slot.get() else {
        return BodyAction::Fail;
    };
    let state = configured.response_body.take();
    let mut body = ResponseBody::new(data, end, state);
    let action = configured.plugin.on_response_body(&mut body);
    let over = body.is_over(&action);
    configured.response_body.keep(body.state, over);
    configured.keep(body.response.request.begun);
    action
}

/// The export `on-response-trailers.handle`.
pub fn on_response_trailers<P: Plugin>(slot: &Slot<P>) -> Action {
    slot.get().map_or(Action::Fail, |configured| {
        let plugin = &configured.plugin;
        plugin.on_response_trailers(&mut Trailers::new())
    })
}

/// The export `on-reply-body.next`.
///
/// # Errors
///
/// What the plugin could not make, or a body that nobody began: the host cuts the response off.
#[allow(clippy::result_unit_err, reason = "the contract's own type")]
pub fn on_reply_body<P: Plugin>(slot: &Slot<P>) -> Result<Option<Vec<u8>>, ()> {
    let configured = slot.get().ok_or(())?;
    let mut state = configured.reply.take().ok_or(())?;
    let piece = configured.plugin.on_reply_body(&mut state);
    let piece = piece.map_err(|CutOff| ())?;
    if piece.is_some() {
        configured.reply.set(Some(state));
    }
    Ok(piece)
}

/// The export `on-log.handle`.
pub fn on_log<P: Plugin>(slot: &Slot<P>) {
    if let Some(configured) = slot.get() {
        configured.plugin.on_log(&Outcome::new());
    }
}

/// The export `on-tick.handle`.
pub fn on_tick<P: Plugin>(slot: &Slot<P>) {
    if let Some(configured) = slot.get() {
        configured.plugin.on_tick();
    }
}

/// Without `configure` there is no plugin to ask; the host promises to call it first.
fn with_request<P: Plugin>(
    slot: &Slot<P>,
    phase: impl FnOnce(&P, &mut Request) -> Action,
) -> Action {
    let Some(configured) = slot.get() else {
        return Action::Fail;
    };
    let mut request = Request::new();
    let action = phase(&configured.plugin, &mut request);
    configured.keep(request.begun);
    action
}

/// Export a plugin's configuration and its phases.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_plugin {
    ($plugin:ty, $($phase:ident)+) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static PLUGIN: $crate::export::Slot<$plugin> =
                    const { ::std::cell::OnceCell::new() };
            }
            struct Exports;
            $crate::__export_function!(
                configuration, configuration, __export_configuration,
                configure(config: ::std::string::String)
                    -> ::std::result::Result<(), ::std::vec::Vec<$crate::ConfigError>>,
                |slot| $crate::export::configure(slot, &config)
            );
            $($crate::__export_phase!($phase);)+
        };
        // Elsewhere nothing is exported; the type is in use all the same.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn(&$crate::export::Slot<$plugin>) -> $crate::Action =
            $crate::export::on_request::<$plugin>;
    };
}

/// Export one phase; only inside `__export_plugin`, whose names it uses.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_phase {
    (on_request) => {
        $crate::__export_function!(
            request_head, on_request_head, __export_request_head,
            handle() -> $crate::Action, $crate::export::on_request
        );
    };
    (on_request_body) => {
        $crate::__export_function!(
            request_body, on_request_body, __export_request_body,
            handle(data: ::std::vec::Vec<u8>, end: bool) -> $crate::BodyAction,
            |slot| $crate::export::on_request_body(slot, data, end)
        );
    };
    (on_upstream_choice) => {
        $crate::__export_function!(
            upstream_choice, on_upstream_choice, __export_upstream_choice,
            handle() -> $crate::Action, $crate::export::on_upstream_choice
        );
    };
    (on_upstream_request) => {
        $crate::__export_function!(
            upstream_request, on_upstream_request, __export_upstream_request,
            handle() -> $crate::Action, $crate::export::on_upstream_request
        );
    };
    (on_response) => {
        $crate::__export_function!(
            response_head, on_response_head, __export_response_head,
            handle() -> $crate::Action, $crate::export::on_response
        );
    };
    (on_response_body) => {
        $crate::__export_function!(
            response_body, on_response_body, __export_response_body,
            handle(data: ::std::vec::Vec<u8>, end: bool) -> $crate::BodyAction,
            |slot| $crate::export::on_response_body(slot, data, end)
        );
    };
    (on_response_trailers) => {
        $crate::__export_function!(
            response_trailers, on_response_trailers, __export_response_trailers,
            handle() -> $crate::Action, $crate::export::on_response_trailers
        );
    };
    (on_reply_body) => {
        $crate::__export_function!(
            reply_body, on_reply_body, __export_reply_body,
            next() -> ::std::result::Result<
                ::std::option::Option<::std::vec::Vec<u8>>, ()
            >, $crate::export::on_reply_body
        );
    };
    (on_log) => {
        $crate::__export_function!(
            log, on_log, __export_log, handle() -> (), $crate::export::on_log
        );
    };
    (on_tick) => {
        $crate::__export_function!(
            tick, on_tick, __export_tick, handle() -> (), $crate::export::on_tick
        );
    };
}

/// Export one function of the contract: the module of its bindings, its interface, the macro that
/// exports it, its signature, and what is called with the slot.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_function {
    (
        $world:ident, $interface:ident, $export:ident,
        $function:ident($($argument:ident: $type:ty),*) -> $answer:ty, $call:expr
    ) => {
        impl $crate::bindings::$world::exports::tidegate::plugin::$interface::Guest for Exports {
            fn $function($($argument: $type),*) -> $answer {
                PLUGIN.with($call)
            }
        }
        $crate::bindings::$world::$export!(Exports with_types_in $crate::bindings::$world);
    };
}
