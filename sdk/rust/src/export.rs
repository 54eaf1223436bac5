//! What `#[plugin]` expands to: the component's exports, around one value of the plugin's type.

use std::cell::OnceCell;

use crate::{Action, ConfigError, Interest, Plugin, Request, Response, config};

/// The export `configuration.configure`: fill the slot.
///
/// # Errors
///
/// The configuration's mistakes; or that the host called it twice, which it promises not to.
pub fn configure<P: Plugin>(slot: &OnceCell<P>, json: &str) -> Result<(), Vec<ConfigError>> {
    let config = config::parse::<P::Config>(json)?;
    let plugin = P::configure(config, &mut Interest::new())?;
    slot.set(plugin)
        .map_err(|_| vec![ConfigError::at("", "this instance is configured already")])
}

/// The export `on-request-head.handle`.
pub fn on_request<P: Plugin>(slot: &OnceCell<P>) -> Action {
    handle(slot, |plugin| plugin.on_request(&mut Request::new()))
}

/// The export `on-response-head.handle`.
pub fn on_response<P: Plugin>(slot: &OnceCell<P>) -> Action {
    handle(slot, |plugin| plugin.on_response(&mut Response::new()))
}

/// Without `configure` there is no plugin to ask; the host promises to call it first.
fn handle<P>(slot: &OnceCell<P>, phase: impl FnOnce(&P) -> Action) -> Action {
    slot.get().map_or(Action::Fail, phase)
}

/// Export a plugin's configuration and its phases.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_plugin {
    ($plugin:ty, $($phase:ident)+) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static PLUGIN: ::std::cell::OnceCell<$plugin> =
                    const { ::std::cell::OnceCell::new() };
            }
            struct Exports;
            impl $crate::bindings::configuration::exports::tidegate::plugin::configuration::Guest
                for Exports
            {
                fn configure(
                    config: ::std::string::String,
                ) -> ::std::result::Result<(), ::std::vec::Vec<$crate::ConfigError>> {
                    PLUGIN.with(|slot| $crate::export::configure(slot, &config))
                }
            }
            $crate::bindings::configuration::__export_configuration!(
                Exports with_types_in $crate::bindings::configuration
            );
            $($crate::__export_phase!($phase);)+
        };
        // Elsewhere nothing is exported; the type is in use all the same.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn(&::std::cell::OnceCell<$plugin>) -> $crate::Action =
            $crate::export::on_request::<$plugin>;
    };
}

/// Export one phase; only inside `__export_plugin`, whose names it uses.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_phase {
    (on_request) => {
        impl $crate::bindings::request_head::exports::tidegate::plugin::on_request_head::Guest
            for Exports
        {
            fn handle() -> $crate::Action {
                PLUGIN.with($crate::export::on_request)
            }
        }
        $crate::bindings::request_head::__export_request_head!(
            Exports with_types_in $crate::bindings::request_head
        );
    };
    (on_response) => {
        impl $crate::bindings::response_head::exports::tidegate::plugin::on_response_head::Guest
            for Exports
        {
            fn handle() -> $crate::Action {
                PLUGIN.with($crate::export::on_response)
            }
        }
        $crate::bindings::response_head::__export_response_head!(
            Exports with_types_in $crate::bindings::response_head
        );
    };
}
