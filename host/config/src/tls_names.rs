//! Words of TLS: versions, cipher suites, key exchange groups, protocols. Which of them an engine has is
//! its own business; these are all that this proxy offers.

use std::fmt;

use crate::error::Invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// A version of TLS. Older ones are not offered (RFC 8996).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub enum TlsVersion {
    /// RFC 5246
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446
    #[serde(rename = "1.3")]
    V1_3,
}

impl<'de> Deserialize<'de> for TlsVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Version)
    }
}

/// Reads a version, and knows how else people write one.
struct Version;

impl de::Visitor<'_> for Version {
    type Value = TlsVersion;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"1.2\" or \"1.3\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TlsVersion, E> {
        match text {
            "1.2" => Ok(TlsVersion::V1_2),
            "1.3" => Ok(TlsVersion::V1_3),
            other => {
                let meant = ["1.2", "1.3"]
                    .iter()
                    .find(|version| other.ends_with(**version));
                let help = match meant {
                    Some(version) => format!("write \"{version}\""),
                    None => {
                        "expected \"1.2\" or \"1.3\"; older ones are not safe (RFC 8996)".to_owned()
                    }
                };
                Err(Invalid::new(format!("`{other}` is not a version of TLS"), help).into_serde())
            }
        }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<TlsVersion, E> {
        let help = format!("write \"{number}\", in quotes");
        Err(Invalid::new("a version is a string, not a number", help).into_serde())
    }
}

/// A cipher suite: authenticated encryption and, in TLS 1.2, an ephemeral key exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[allow(
    non_camel_case_types,
    reason = "the names of the registry (IANA, TLS Cipher Suites)"
)]
pub enum CipherSuite {
    /// TLS 1.3
    #[serde(rename = "TLS13_AES_256_GCM_SHA384", alias = "TLS_AES_256_GCM_SHA384")]
    TLS13_AES_256_GCM_SHA384,
    /// TLS 1.3
    #[serde(rename = "TLS13_AES_128_GCM_SHA256", alias = "TLS_AES_128_GCM_SHA256")]
    TLS13_AES_128_GCM_SHA256,
    /// TLS 1.3
    #[serde(
        rename = "TLS13_CHACHA20_POLY1305_SHA256",
        alias = "TLS_CHACHA20_POLY1305_SHA256"
    )]
    TLS13_CHACHA20_POLY1305_SHA256,
    /// TLS 1.2
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    /// TLS 1.2
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    /// TLS 1.2
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    /// TLS 1.2
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    /// TLS 1.2
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    /// TLS 1.2
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

impl CipherSuite {
    /// All of them, the preferred ones first.
    pub const ALL: [CipherSuite; 9] = [
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];

    /// The one version that has it.
    pub fn version(self) -> TlsVersion {
        match self {
            CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => TlsVersion::V1_3,
            _ => TlsVersion::V1_2,
        }
    }
}

/// A group for the exchange of keys (RFC 8446 §4.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyExchange {
    /// RFC 7748
    #[serde(alias = "X25519")]
    X25519,
    /// P-256
    #[serde(alias = "P-256", alias = "prime256v1")]
    Secp256r1,
    /// P-384
    #[serde(alias = "P-384")]
    Secp384r1,
}

impl KeyExchange {
    /// All of them, the preferred ones first.
    pub const ALL: [KeyExchange; 3] = [
        KeyExchange::X25519,
        KeyExchange::Secp256r1,
        KeyExchange::Secp384r1,
    ];
}

/// What is spoken inside of TLS, as a client asks for it (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Alpn {
    /// HTTP/2
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1
    #[serde(rename = "http/1.1")]
    Http1,
}

impl Alpn {
    /// Both, the preferred one first.
    pub const ALL: [Alpn; 2] = [Alpn::H2, Alpn::Http1];
}
