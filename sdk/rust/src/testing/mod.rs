//! Run a plugin in a plain `cargo test`, against a host that lives in the test.
//!
//! [`Instance`] is a configured plugin; it has one method for each phase. [`Exchange`] is one request
//! and its response. Both show afterwards what the plugin did. [`Host`] is what the plugin runs in:
//! upstreams, secrets, stores, answers of other servers, as the test sets them. A plugin that needs none
//! of these is configured by itself:
//!
//! ```
//! use std::time::Duration;
//! use tidegate_sdk::prelude::*;
//! use tidegate_sdk::testing::{Exchange, Instance};
//!
//! #[derive(Deserialize)]
//! struct Once {}
//!
//! #[plugin]
//! impl Plugin for Once {
//!     fn on_request(&self, request: &mut Request) -> Action {
//!         let bucket = limiter::Bucket::new(1, Duration::from_secs(60), 1);
//!         match limiter::take(limiter::Scope::Route, b"all", &bucket, 1) {
//!             Ok(outcome) if outcome.allowed => Action::Proceed,
//!             Ok(_) => request.respond(Reply::new(429)),
//!             Err(_) => Action::Fail,
//!         }
//!     }
//! }
//!
//! let mut once = Instance::<Once>::configure("{}").unwrap();
//! assert_eq!(once.on_request(&mut Exchange::get("/")), Action::Proceed);
//!
//! let mut second = Exchange::get("/");
//! assert_eq!(once.on_request(&mut second), Action::Respond);
//! assert_eq!(second.reply().unwrap().status(), 429);
//!
//! once.advance(Duration::from_secs(60));
//! assert_eq!(once.on_request(&mut Exchange::get("/")), Action::Proceed);
//! ```
//!
//! This host keeps the contract's rules that a plugin can run into: which calls fit which phase, which
//! names and values HTTP allows, which fields are the proxy's own. What the operator grants without a
//! name (`log`, `clock` and so on) is granted. Time stands still until a test lets it
//! [pass](Instance::advance).

mod body;
mod bucket;
mod call;
mod exchange;
mod fields;
mod host;
pub(crate) mod imports;
mod phase;
mod window;

pub use body::BodyOutcome;
pub use exchange::{Attempt, Exchange, Facts};
pub use host::Host;
pub use imports::http_client::HttpRequest;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::log::Level;
use crate::{Action, ConfigError, Plugin, Reply, export};
use phase::Phase;

/// A configured plugin in a host of its own.
pub struct Instance<P: Plugin> {
    plugin: export::Slot<P>,
    host: Host,
}

impl<P: Plugin> Instance<P> {
    /// Configure the plugin with JSON, as the host does, in [`Host::new`].
    ///
    /// # Errors
    ///
    /// What the plugin says is wrong with it.
    pub fn configure(json: &str) -> Result<Self, Vec<ConfigError>> {
        Self::configure_in(Host::new(), json)
    }

    fn configure_in(mut host: Host, json: &str) -> Result<Self, Vec<ConfigError>> {
        let plugin = export::Slot::new();
        call::call(&mut host, &mut Exchange::get("/"), Phase::Configure, || {
            export::configure::<P>(&plugin, json)
        })?;
        Ok(Self { plugin, host })
    }

    /// The host, to change what it grants and answers.
    pub fn host(&mut self) -> &mut Host {
        &mut self.host
    }

    /// Whether the host would call the plugin for this exchange, by its interests.
    pub fn is_interested(&self, exchange: &Exchange) -> bool {
        self.host.interest.matches(exchange)
    }

    /// The request phase. Without interest, nothing happens and the exchange proceeds, as in all
    /// phases.
    pub fn on_request(&mut self, exchange: &mut Exchange) -> Action {
        self.run(exchange, Phase::RequestHead, export::on_request)
    }

    /// The choice of the upstream, which [`Exchange::upstream`] and [`Exchange::chosen_peer`] tell
    /// afterwards.
    pub fn on_upstream_choice(&mut self, exchange: &mut Exchange) -> Action {
        self.run(exchange, Phase::UpstreamChoice, export::on_upstream_choice)
    }

    /// An attempt to ask a peer. Each call is the next attempt, at the next peer;
    /// [`Exchange::attempts`] tells what each one got.
    pub fn on_upstream_request(&mut self, exchange: &mut Exchange) -> Action {
        let peers = self.host.upstreams.get(&exchange.upstream);
        exchange.begin_attempt(peers.map_or(&[], Vec::as_slice));
        let phase = Phase::UpstreamRequest;
        self.run(exchange, phase, export::on_upstream_request)
    }

    /// The response phase, with the response that [`Exchange::response`] gave it, or an empty 200.
    pub fn on_response(&mut self, exchange: &mut Exchange) -> Action {
        self.run(exchange, Phase::ResponseHead, export::on_response)
    }

    /// The trailers that [`Exchange::trailers`] gave it.
    pub fn on_response_trailers(&mut self, exchange: &mut Exchange) -> Action {
        let phase = Phase::ResponseTrailers;
        self.run(exchange, phase, export::on_response_trailers)
    }

    /// The end of the exchange, with what became of it.
    pub fn on_log(&mut self, exchange: &mut Exchange, facts: Facts) {
        exchange.facts = facts;
        if self.is_interested(exchange) {
            self.call(exchange, Phase::Log, export::on_log);
        }
        self.end(exchange);
    }

    /// The exchange is over, for a test that has no use for [`on_log`](Self::on_log): the places
    /// of the limiter that it took are given back.
    pub fn end(&mut self, exchange: &mut Exchange) {
        self.host.give_back(exchange.places.drain(..));
    }

    /// The period passed that `configure` asked for; where it asked for none, nothing happens.
    pub fn on_tick(&mut self) {
        if self.tick_period().is_some() {
            self.call(&mut Exchange::get("/"), Phase::Tick, export::on_tick);
        }
    }

    /// The period that `configure` asked for.
    pub fn tick_period(&self) -> Option<Duration> {
        self.host.interest.tick
    }

    /// Let time pass, for both clocks and all that expires.
    pub fn advance(&mut self, time: Duration) {
        self.host.elapsed += time;
    }

    /// Set the wall clock: time since 1970-01-01T00:00:00Z. It begins at 2026-01-01.
    pub fn set_now(&mut self, now: Duration) {
        self.host.epoch = now.saturating_sub(self.host.elapsed);
    }

    /// Let the limiter answer `unavailable` from now on, or no longer.
    pub fn set_limiter_unavailable(&mut self, unavailable: bool) {
        self.host.limits.unavailable = unavailable;
    }

    /// The lines that the plugin logged, oldest first.
    pub fn log(&self) -> &[(Level, String)] {
        &self.host.log
    }

    /// A counter or gauge, or the sum of a histogram; labels in any order. 0 where there is none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: BTreeMap<String, String> = labels
            .iter()
            .map(|&(label, value)| (label.to_owned(), value.to_owned()))
            .collect();
        let series = (name.to_owned(), labels);
        self.host.metrics.get(&series).copied().unwrap_or(0.0)
    }

    fn run(
        &mut self,
        exchange: &mut Exchange,
        phase: Phase,
        handle: fn(&export::Slot<P>) -> Action,
    ) -> Action {
        if !self.is_interested(exchange) {
            return Action::Proceed;
        }
        let id = self.host.id;
        if phase == Phase::ResponseHead
            && let Some(edits) = exchange.prepared.remove(&id)
        {
            exchange.response.edit_each(&edits);
            return Action::Proceed;
        }
        if let Some(edits) = self.host.interest.fixed_edits(phase) {
            return exchange.make(edits, phase);
        }
        let action = self.call(exchange, phase, handle);
        if action == Action::Fail {
            // With either policy it has no turn with the response.
            exchange.prepared.remove(&id);
        }
        action
    }

    fn call<R>(
        &mut self,
        exchange: &mut Exchange,
        phase: Phase,
        handle: impl FnOnce(&export::Slot<P>) -> R,
    ) -> R {
        let plugin = &self.plugin;
        let answer = call::call(&mut self.host, exchange, phase, || handle(plugin));
        self.host.http.end_calls();
        answer
    }
}

impl<P: Plugin> std::fmt::Debug for Instance<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

/// What a reply holds, for assertions.
impl Reply {
    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A field's first value as text.
    pub fn field(&self, name: &str) -> Option<String> {
        let field = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        field.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// The body as text.
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
