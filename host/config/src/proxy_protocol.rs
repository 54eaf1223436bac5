//! The PROXY protocol, by which a load balancer says who connected to it.

use crate::located::Located;
use crate::resolve::Resolver;
use crate::text::Text;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `proxy_protocol` of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Who may send a header; at least one network.
    pub trust: Vec<IpNet>,
    /// Which headers are read; at least one, none twice.
    pub accept: Vec<ProxyHeader>,
    /// Whether a connection of a trusted sender may begin without a header.
    pub optional: bool,
}

/// A header that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyHeader {
    /// The text form.
    V1,
    /// The binary form.
    V2,
    /// Cloudflare's simple proxy header.
    Spectrum,
}

/// A header that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyVersion {
    /// The text form.
    V1,
    /// The binary form.
    V2,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProxyProtocol {
    /// Networks of the load balancers that send the header. Connections of others are taken as they are,
    /// and a header that they send is an error.
    #[schemars(example = serde_json::json!(["10.0.0.0/8"]), length(min = 1))]
    trust: Located<Vec<Text<IpNet>>>,
    /// Which headers are read: "v1" (text), "v2" (binary), "spectrum" (Cloudflare's simple proxy header).
    #[serde(default)]
    #[schemars(extend("default" = ["v1", "v2"]))]
    accept: Option<Located<Vec<ProxyHeader>>>,
    /// Whether trusted load balancers may leave the header out.
    #[serde(default)]
    optional: bool,
}

impl RawProxyProtocol {
    pub(crate) fn resolve(self, resolver: &mut Resolver) -> ProxyProtocol {
        if self.trust.value.is_empty() {
            resolver.reject(
                self.trust.span,
                "nobody is trusted to send a PROXY protocol header",
                "name the networks of your load balancers such as [\"10.0.0.0/8\"], or remove `proxy_protocol`",
            );
        }
        let mut accept = Vec::new();
        match self.accept {
            None => accept.extend([ProxyHeader::V1, ProxyHeader::V2]),
            Some(given) => {
                if given.value.is_empty() {
                    resolver.reject(
                        given.span,
                        "no header is accepted",
                        "name at least one of \"v1\", \"v2\" and \"spectrum\"",
                    );
                }
                for header in given.value {
                    if !accept.contains(&header) {
                        accept.push(header);
                    }
                }
            }
        }
        ProxyProtocol {
            trust: self.trust.value.into_iter().map(|text| text.0).collect(),
            accept,
            optional: self.optional,
        }
    }
}
