//! Allow and deny requests by the client's address.
//!
//! `configure` merges each list into sorted, disjoint networks, so that a request costs one binary
//! search per list, however long the lists are. `deny` wins over `allow`; with an `allow` list,
//! whoever is not on it is denied.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tidegate_sdk::prelude::*;

#[cfg(test)]
mod tests;

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who may pass; nobody else, where there is such a list.
    allow: Option<Vec<Network>>,
    /// Who may not, even if allowed.
    #[serde(default)]
    deny: Vec<Network>,
    /// Whose address counts.
    #[serde(default)]
    address: Whose,
    /// The status for who may not pass.
    #[serde(default = "forbidden")]
    status: u16,
    /// The body for who may not pass.
    #[serde(default = "forbidden_text")]
    body: String,
}

/// The plugin.
pub struct IpAccess {
    allow: Option<Networks>,
    deny: Networks,
    attribute: &'static str,
    status: u16,
    body: String,
}

#[plugin]
impl Plugin for IpAccess {
    type Config = Config;

    fn configure(config: Config, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        if config.allow.is_none() && config.deny.is_empty() {
            return Err(ConfigError::at("", "expected `allow`, `deny` or both").into());
        }
        if !(200..=599).contains(&config.status) {
            let message = format!("is {}, expected 200 to 599", config.status);
            return Err(ConfigError::at("status", message).into());
        }
        Ok(Self {
            allow: config.allow.map(Networks::new),
            deny: Networks::new(config.deny),
            attribute: match config.address {
                Whose::Client => "client.address",
                Whose::Peer => "peer.address",
            },
            status: config.status,
            body: config.body,
        })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        let address = attributes::text(self.attribute);
        let address = address.and_then(|text| text.parse::<IpAddr>().ok());
        // A client on a Unix socket has no address: nobody can say that it may pass.
        if address.is_some_and(|address| self.admits(address.to_canonical())) {
            return Action::Proceed;
        }
        if let Err(error) = metrics::count("denied", &[], 1) {
            log::debug!("metric denied: {error}");
        }
        request.respond(Reply::new(self.status).text(self.body.as_str()))
    }
}

impl IpAccess {
    fn admits(&self, address: IpAddr) -> bool {
        let allowed = self
            .allow
            .as_ref()
            .is_none_or(|allow| allow.contains(address));
        allowed && !self.deny.contains(address)
    }
}

/// Networks without overlaps, in order.
struct Networks {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl Networks {
    fn new(networks: Vec<Network>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for Network(network) in networks {
            match network {
                IpNet::V4(network) => v4.push(network),
                IpNet::V6(network) => v6.push(network),
            }
        }
        // Disjoint, and in order.
        Self {
            v4: Ipv4Net::aggregate(&v4),
            v6: Ipv6Net::aggregate(&v6),
        }
    }

    /// Only the last network that begins at or before the address can hold it.
    fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                let after = self
                    .v4
                    .partition_point(|network| network.network() <= address);
                let last = after.checked_sub(1).and_then(|index| self.v4.get(index));
                last.is_some_and(|network| network.contains(&address))
            }
            IpAddr::V6(address) => {
                let after = self
                    .v6
                    .partition_point(|network| network.network() <= address);
                let last = after.checked_sub(1).and_then(|index| self.v6.get(index));
                last.is_some_and(|network| network.contains(&address))
            }
        }
    }
}

/// An address or a network such as `10.0.0.0/8`. IPv4 inside IPv6 (RFC 4291 §2.5.5.2) is IPv4.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        let network = address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
            format!("`{text}` is not an address or network, expected one like `192.0.2.7` or `10.0.0.0/8`")
        })?;
        if network.trunc() != network {
            let meant = network.trunc();
            return Err(format!(
                "`{text}` has bits behind its prefix, did you mean `{meant}`"
            ));
        }
        Ok(Self(unmapped(network)))
    }
}

fn unmapped(network: IpNet) -> IpNet {
    let mapped = network.prefix_len().checked_sub(96);
    match (network.addr().to_canonical(), mapped) {
        (IpAddr::V4(address), Some(prefix)) if matches!(network, IpNet::V6(_)) => {
            Ipv4Net::new(address, prefix).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Whose {
    /// The client, behind the proxies that the listener trusts.
    #[default]
    Client,
    /// Who is connected.
    Peer,
}

fn forbidden() -> u16 {
    403
}

fn forbidden_text() -> String {
    "forbidden\n".to_owned()
}
