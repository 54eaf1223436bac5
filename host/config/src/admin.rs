//! `[admin]`: the address for operators.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::address::Address;
use crate::attribute::AttributeNames;
use crate::error::Invalid;
use crate::text::{Text, Textual};
use crate::whole::Whole;
use schemars::JsonSchema;
use serde::Deserialize;

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Where /metrics, /healthz, /readyz and /plugins are, or "off". Whoever reaches it sees routes and
    /// plugins, so keep it on a loopback address or a Unix socket.
    #[serde(with = "Text::<Option<Address>>")]
    pub address: Option<Address>,
    /// Connections open at once. Further ones are closed.
    #[serde(with = "Whole::<1, 10_000>")]
    pub connections: u32,
    /// Time for a whole request head to arrive, and between requests.
    #[serde(with = "Text::<Duration>")]
    pub header_timeout: Duration,
    /// Attributes by whose values /metrics counts requests, such as "tenant": at most 8 attributes, and 1000
    /// values of each; others are counted together.
    #[serde(with = "AttributeNames::<8>")]
    #[schemars(example = serde_json::json!(["tenant"]))]
    pub metrics_attributes: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9901));
        Self {
            address: Some(Address::Socket(address)),
            connections: 64,
            header_timeout: Duration::from_secs(10),
            metrics_attributes: Vec::new(),
        }
    }
}

impl Textual for Option<Address> {
    const EXPECTED: &'static str =
        "an address such as \"127.0.0.1:9901\" or \"unix:/run/tidegate-admin.sock\", or \"off\"";

    fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "off" => Ok(None),
            text => Address::parse(text).map(Some).map_err(|invalid| Invalid {
                help: format!("expected {}", Self::EXPECTED),
                ..invalid
            }),
        }
    }

    fn write(&self) -> String {
        self.as_ref()
            .map_or_else(|| "off".to_owned(), Address::to_string)
    }
}
