//! `on_demand` of `[acme.NAME]`: certificates that are ordered when a client asks for a name.

use std::time::Duration;

use crate::located::{Located, Span};
use crate::rate::Rate;
use crate::resolve::Resolver;
use crate::text::Text;
use crate::whole::Whole;
use http::Uri;
use schemars::JsonSchema;
use serde::Deserialize;

/// Orders that clients cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDemand {
    /// Who is asked before, with `?domain=NAME`; http or https. 200 means yes.
    pub ask: String,
    /// How long the answer may take.
    pub ask_timeout: Duration,
    /// The most questions.
    pub ask_limit: Rate,
    /// The most orders.
    pub limit: Rate,
    /// The most names that are asked about or ordered at one time.
    pub pending: u32,
    /// How long the client that asked waits.
    pub wait: Duration,
    /// How long a name that was refused or failed is not tried again.
    pub remember: Duration,
    /// The most names that this is known of.
    pub remember_names: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOnDemand {
    /// A URL that is asked first, with the name as in ?domain=example.com. 200 means yes, anything else no.
    #[schemars(example = &"http://127.0.0.1:8000/may")]
    ask: Option<Located<String>>,
    /// How long the answer may take. Without one nothing is ordered, but what is there is renewed.
    #[serde(default = "ask_timeout", with = "Text::<Duration>")]
    ask_timeout: Duration,
    /// The most questions that are asked, so that clients who make names up cost little. A name that is not
    /// asked about gets what a name without a certificate gets.
    #[serde(default = "ask_limit", with = "Text::<Rate>")]
    ask_limit: Rate,
    /// The most certificates that are ordered in this way.
    #[serde(default = "limit", with = "Text::<Rate>")]
    limit: Rate,
    /// The most names that are asked about or ordered at one time, at most 10000. Others get what a name without a
    /// certificate gets.
    #[serde(default = "pending", with = "Whole::<1, 10_000>")]
    pending: u32,
    /// How long the client that asked first waits for its certificate. After it, it gets what a name without
    /// one gets; the order goes on.
    #[serde(default = "wait", with = "Text::<Duration>")]
    wait: Duration,
    /// How long a name that was refused, or that failed, is not tried again.
    #[serde(default = "remember", with = "Text::<Duration>")]
    remember: Duration,
    /// The most names that this is known of, at most 1000000, each some hundred bytes. One more takes the place of the
    /// oldest.
    #[serde(default = "remember_names", with = "Whole::<1, 1_000_000>")]
    remember_names: u32,
}

fn ask_timeout() -> Duration {
    Duration::from_secs(5)
}

fn pending() -> u32 {
    64
}

fn remember_names() -> u32 {
    10_000
}

fn wait() -> Duration {
    Duration::from_secs(5)
}

fn remember() -> Duration {
    Duration::from_secs(600)
}

fn ask_limit() -> Rate {
    Rate {
        count: 10,
        period: Duration::from_secs(1),
    }
}

fn limit() -> Rate {
    Rate {
        count: 10,
        period: Duration::from_secs(60),
    }
}

impl RawOnDemand {
    pub(super) fn resolve(self, span: Span, resolver: &mut Resolver) -> Option<OnDemand> {
        let Some(ask) = self.ask else {
            resolver.reject(
                span,
                "without `ask`, any client could order a certificate for any name",
                "add `ask = \"http://127.0.0.1:8000/may\"`, a URL that answers 200 to names that are yours",
            );
            return None;
        };
        let uri = ask.value.parse::<Uri>().ok().filter(|uri| {
            let scheme = uri
                .scheme_str()
                .is_some_and(|it| it == "http" || it == "https");
            let plain = uri.authority().is_some_and(|it| !it.as_str().contains('@'));
            scheme && plain && uri.query().is_none()
        });
        if uri.is_none() {
            resolver.reject(
                ask.span,
                format!("`{}` cannot be asked", ask.value),
                "expected a URL without a query such as \"http://127.0.0.1:8000/may\"",
            );
        }
        uri.map(|_| OnDemand {
            ask: ask.value,
            ask_timeout: self.ask_timeout,
            ask_limit: self.ask_limit,
            limit: self.limit,
            pending: self.pending,
            wait: self.wait,
            remember: self.remember,
            remember_names: self.remember_names,
        })
    }
}
