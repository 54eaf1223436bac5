//! Tidegate's configuration: one TOML file, checked, with errors that have a position.
//!
//! [`Config::load`] reads a file, lays the environment over it and resolves it. Each file here is one
//! section of the TOML file: what is written, and how it becomes what the proxy works with. After that
//! nothing is wrong that can be known without other parts: host and path patterns, plugins and their own
//! configuration belong to others, so these values keep their place ([`Located`]), and
//! [`Config::error`] turns a place and a message into the same kind of [`Error`].
//!
//! ```
//! use tidegate_config::{Config, Source};
//!
//! let source = Source::new("tidegate.toml", r#"
//!     [[listener]]
//!     address = "127.0.0.1:8080"
//!
//!     [[route]]
//!     respond = { body = "hello" }
//! "#);
//! let config = Config::parse(source, std::iter::empty())?;
//! assert_eq!(config.listeners[0].addresses[0].value.to_string(), "127.0.0.1:8080");
//! # Ok::<(), tidegate_config::Errors>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod environment;
mod file;
mod reference;
mod resolve;
mod warnings;

// The sections.
mod acme;
mod admin;
mod error_pages;
mod kv;
mod limits;
mod listener;
mod log;
mod maintenance;
mod plugin;
mod redis;
mod route;
mod secret;
mod server;
mod upstream;

// Parts of [[listener]], [upstream.NAME], [[route]] and [acme.NAME].
mod client_certificates;
mod dns_update;
mod forwarding;
mod https;
mod listen_address;
mod proxy_protocol;
mod route_limits;
mod taken;
mod target;
mod tls;
mod tls_names;
mod upstream_tls;

// What plugins may use.
mod allow;
mod filesystem;
mod limiter;
mod origin;

// The values that sections are made of.
mod account;
mod address;
mod attribute;
mod dns_name;
mod duration;
mod keyed;
mod list;
mod network;
mod on_failure;
mod plugin_config;
mod rate;
mod secret_name;
mod shorthand;
mod size;
mod text;
mod whole;

// Files, where something stands in one, and what is wrong with it.
mod error;
mod explain;
mod located;
mod names;
mod nearest;
mod read;
mod source;

pub use account::Account;
pub use acme::{Acme, Challenge, ExternalAccount, KeyType, OnDemand, Renew};
pub use address::{Address, PeerAddress};
pub use admin::Admin;
pub use allow::Allow;
pub use client_certificates::{ClientCertificateField, ClientCertificates};
pub use config::Config;
pub use dns_name::DnsName;
pub use dns_update::{DnsServer, DnsUpdate, TsigAlgorithm, TsigKey};
pub use environment::{EnvKey, environment};
pub use error::{Error, Errors, Invalid};
pub use error_pages::{ErrorPages, ErrorStatus};
pub use filesystem::FilesystemGrant;
pub use forwarding::{ClientAddress, Forward};
pub use https::Hsts;
pub use kv::Kv;
pub use limiter::LimiterGrant;
pub use limits::Limits;
pub use listen_address::ListenAddress;
pub use listener::{Listener, Protocol, SocketOptions};
pub use located::{Located, Span};
pub use log::{Format, Level, Log};
pub use maintenance::Maintenance;
pub use nearest::nearest;
pub use on_failure::{OnFailure, Policy};
pub use origin::{HttpGrant, Origin, OriginHost, Scheme};
pub use plugin::{Cache, PluginSettings, Plugins, Sha256};
pub use plugin_config::PluginConfig;
pub use proxy_protocol::{ProxyHeader, ProxyProtocol, ProxyVersion};
pub use rate::Rate;
pub use read::{ReadError, ReadProblem, read_file};
pub use redis::Redis;
pub use reference::{reference, schema};
pub use route::{PluginUse, Route};
pub use route_limits::RouteLimits;
pub use secret::{Secret, SecretSource};
pub use server::Server;
pub use source::Source;
pub use target::{Redirect, Respond, Target};
pub use tls::{CertificateFiles, ListenerTls, Mismatch, TlsSettings, UnknownName};
pub use tls_names::{Alpn, CipherSuite, KeyExchange, TlsVersion};
pub use upstream::{Balance, Peer, Timeouts, Upstream, UpstreamProtocol};
pub use upstream_tls::{ServerName, UpstreamTls};
