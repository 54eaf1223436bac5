//! Networks: `"10.0.0.0/8"`, `"2001:db8::/32"`, or one address.

use std::net::IpAddr;

use crate::error::Invalid;
use crate::text::Textual;
use ipnet::IpNet;

impl Textual for IpNet {
    const EXPECTED: &'static str = "a network such as \"10.0.0.0/8\" or \"2001:db8::/32\"";

    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(|network| network.trunc())
            .map_err(|_| {
                Invalid::new(
                    format!("`{text}` is not a network"),
                    format!("expected {}", Self::EXPECTED),
                )
            })
    }

    fn write(&self) -> String {
        self.to_string()
    }
}
