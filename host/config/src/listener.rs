//! `[[listener]]`: an address to listen on.

use crate::address::Address;
use crate::error::Invalid;
use crate::located::{Located, Span};
use crate::resolve::Resolver;
use crate::text::{Text, Textual};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One `[[listener]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Its name in logs and metrics.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// Where the address was written, for an address that turns out to be in use.
    pub span: Span,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Whose forwarding fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The permissions of a Unix socket; 0660 where there are none.
    pub mode: Option<u32>,
}

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2 without TLS.
    #[default]
    Http,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawListener {
    /// Its name in logs and metrics. Without it, "listener-1" and so on by position.
    #[schemars(example = &"web")]
    name: Option<Located<String>>,
    /// Where to listen: "0.0.0.0:8080", "[::]:8080" or "unix:/run/tidegate.sock".
    #[schemars(example = &"0.0.0.0:8080")]
    address: Located<Text<Address>>,
    /// What is spoken: "http" (HTTP/1.1 and HTTP/2 without TLS).
    #[serde(default)]
    protocol: Protocol,
    /// Networks of the proxies in front of this one, whose forwarding header fields are believed.
    #[serde(default)]
    #[schemars(example = serde_json::json!(["10.0.0.0/8"]))]
    trusted_proxies: Vec<Text<IpNet>>,
    /// Permissions of a Unix socket, octal.
    #[schemars(example = &"0660")]
    mode: Option<Located<Text<Mode>>>,
}

impl RawListener {
    /// `position` counts from 1. The name keeps its place, to compare it with others.
    pub(crate) fn resolve(
        self,
        position: usize,
        resolver: &mut Resolver,
    ) -> (Located<String>, Listener) {
        let span = self.address.span;
        let address = self.address.value.0;
        if let (Address::Socket(_), Some(mode)) = (&address, &self.mode) {
            resolver.reject(
                mode.span,
                "`mode` is for Unix sockets only",
                "remove it, or listen on an address such as \"unix:/run/tidegate.sock\"",
            );
        }
        let name = resolver.name(self.name, "listener", position, span);
        let listener = Listener {
            name: name.value.clone(),
            address,
            span,
            protocol: self.protocol,
            trusted_proxies: self
                .trusted_proxies
                .into_iter()
                .map(|text| text.0)
                .collect(),
            mode: self.mode.map(|mode| mode.value.0.0),
        };
        (name, listener)
    }
}

/// Permission bits, `"0660"`.
#[derive(Debug)]
struct Mode(u32);

impl Textual for Mode {
    const EXPECTED: &'static str = "octal permissions such as \"0660\"";
    const PATTERN: Option<&'static str> = Some("^0?[0-7]{3}$");

    fn parse(text: &str) -> Result<Self, Invalid> {
        let digits = text.strip_prefix('0').unwrap_or(text);
        let octal = digits.len() == 3 && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        u32::from_str_radix(digits, 8)
            .ok()
            .filter(|_| octal)
            .map(Self)
            .ok_or_else(|| {
                Invalid::new(
                    format!("`{text}` is not a mode"),
                    format!("expected {}", Self::EXPECTED),
                )
            })
    }

    fn write(&self) -> String {
        format!("{:04o}", self.0)
    }
}
