//! What is believed of proxies in front, and what upstreams are told about clients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The header field in which a trusted proxy names the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddress {
    /// The last address of `X-Forwarded-For` that is not of a trusted proxy.
    #[default]
    XForwardedFor,
    /// Likewise of `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Real-IP`
    XRealIp,
    /// `True-Client-IP`
    TrueClientIp,
    /// `CF-Connecting-IP`
    CfConnectingIp,
}

/// What tells an upstream about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Forward {
    /// `X-Forwarded-For`, `-Proto` and `-Host`, and `X-Real-IP`
    XForwarded,
    /// `Forwarded` (RFC 7239)
    Forwarded,
    /// `True-Client-IP`
    TrueClientIp,
    /// `CF-Connecting-IP`
    CfConnectingIp,
}
