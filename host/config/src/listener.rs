//! `[[listener]]`: addresses to listen on, and what is spoken there.

use std::time::Duration;

use crate::account::Account;
use crate::address::Address;
use crate::error::Invalid;
use crate::forwarding::ClientAddress;
use crate::https::{Hsts, HttpsRedirect, RawHsts};
use crate::listen_address::{Addresses, ListenAddress};
use crate::located::{Located, Span};
use crate::proxy_protocol::{ProxyProtocol, RawProxyProtocol};
use crate::resolve::Resolver;
use crate::shorthand::Brief;
use crate::text::{Text, Textual};
use crate::tls::{ListenerTls, RawTls};
use crate::whole::Whole;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One `[[listener]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Its name in logs, metrics and routes: the first address where none was given. No two listeners share one.
    pub name: String,
    /// Where it listens, at least one address, each with its place for one that turns out to be in use.
    pub addresses: Vec<Located<ListenAddress>>,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Options of its sockets.
    pub socket: SocketOptions,
    /// Whose forwarding fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Which of their fields names the client.
    pub client_address: ClientAddress,
    /// Whether load balancers say who connected, and which.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// The port of https, where every request is sent there. Only without `tls`.
    pub https_redirect: Option<u16>,
    /// What browsers are told about https. Only with `tls`.
    pub hsts: Option<Hsts>,
    /// TLS, where it is spoken.
    pub tls: Option<ListenerTls>,
}

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2.
    #[default]
    Http,
}

/// Options of a listener's sockets. Each is for the kinds of socket that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOptions {
    /// Connections that the system keeps until they are accepted, 1 to 65535.
    pub backlog: u32,
    /// Whether an IPv6 address takes IPv6 alone, and not IPv4 too.
    pub v6_only: bool,
    /// Whether other sockets of the same user may listen on the same TCP address.
    pub reuse_port: bool,
    /// The most TCP Fast Open requests that wait (RFC 7413); 0 is off.
    pub fast_open: u32,
    /// The time without data before the first TCP keep-alive probe, 1 second to 9 hours; `None` sends none.
    pub keepalive: Option<Duration>,
    /// The permissions of a Unix socket.
    pub mode: u32,
    /// Whose a Unix socket is; `None` is the user of the process.
    pub owner: Option<Located<Account>>,
    /// Which group a Unix socket is of; `None` is the group of the process.
    pub group: Option<Located<Account>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawListener {
    /// Its name in logs and metrics, and for `match.listener` of routes. Without it, its first address.
    #[schemars(example = &"web")]
    name: Option<Located<String>>,
    /// Where to listen: "0.0.0.0:8080", "[::]:8080", "unix:/run/tidegate.sock", or a list of such addresses.
    /// A socket that systemd hands over is taken where its address is the same, or by its name: "systemd:web"
    /// takes all of this name. Its options are those of the socket unit, not the ones here.
    #[schemars(example = &"0.0.0.0:8080")]
    address: Addresses,
    /// What is spoken: "http" (HTTP/1.1 and HTTP/2, both with and without TLS).
    #[serde(default)]
    protocol: Protocol,
    /// Networks of the proxies in front of this one, whose forwarding header fields are believed.
    #[serde(default)]
    #[schemars(example = serde_json::json!(["10.0.0.0/8"]))]
    trusted_proxies: Vec<Text<IpNet>>,
    /// The field in which they name the client: "x-forwarded-for", "forwarded" (RFC 7239), "x-real-ip",
    /// "true-client-ip" or "cf-connecting-ip".
    #[serde(default)]
    client_address: ClientAddress,
    /// On a plaintext listener, send every request to https (308): `true` for port 443, or another port.
    /// Challenges of certificate authorities are answered before.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    https_redirect: Option<Located<HttpsRedirect>>,
    /// On a listener with `tls`, tell browsers to keep to https (RFC 6797) for this time; or
    /// { max_age = "365d", include_subdomains = true, preload = true }.
    #[schemars(example = &"365d")]
    hsts: Option<Located<Brief<RawHsts>>>,
    /// Connections that the system keeps until they are accepted. The system has a limit of its own
    /// (net.core.somaxconn).
    #[serde(default = "backlog", with = "Whole::<1, 65_535>")]
    backlog: u32,
    /// Whether an IPv6 address takes IPv6 alone, as it does without this key. With `false`, "[::]:8080" takes
    /// IPv4 too.
    #[schemars(example = false)]
    v6_only: Option<Located<bool>>,
    /// Whether other processes of the same user may listen on the same TCP address; connections are then
    /// spread over all of them.
    #[schemars(extend("default" = false))]
    reuse_port: Option<Located<bool>>,
    /// The most TCP Fast Open requests that wait (RFC 7413). 0 is off.
    #[schemars(extend("default" = 0))]
    fast_open: Option<Located<Whole<0, 65_535>>>,
    /// The time without data before the first TCP keep-alive probe, "1s" to "9h". "0s" sends none.
    #[schemars(extend("default" = "1m"))]
    keepalive: Option<Located<Text<Option<Duration>>>>,
    /// Permissions of a Unix socket, octal. Without it, "0660".
    #[schemars(example = &"0660")]
    mode: Option<Located<Text<Mode>>>,
    /// The user whose a Unix socket is, by name or number. Without it, that of the process.
    #[schemars(example = &"www-data")]
    owner: Option<Located<Account>>,
    /// The group of a Unix socket, by name or number. Without it, that of the process.
    #[schemars(example = &"www-data")]
    group: Option<Located<Account>>,
    /// Take the client's address from the PROXY protocol, which load balancers send before anything else.
    proxy_protocol: Option<RawProxyProtocol>,
    /// Speak TLS: what it is, certificates by `certificates` or `acme`.
    tls: Option<Located<RawTls>>,
}

fn backlog() -> u32 {
    4096
}

impl RawListener {
    /// The name that was given, or the first address: another listener in front of it in the file changes neither.
    pub(crate) fn name(&self) -> Located<String> {
        let first = self.address.0.first();
        let address = || first.map(|it| Located::new(it.value.to_string(), it.span));
        let name = self.name.clone().or_else(address);
        name.unwrap_or_else(|| Located::new(String::new(), Span::default()))
    }

    /// The name keeps its place, to compare it with others.
    pub(crate) fn resolve(self, resolver: &mut Resolver) -> (Located<String>, Listener) {
        self.check_kinds(resolver);
        let name = self.name();
        if self.name.is_some() {
            resolver.check_name(&name);
        }
        let addresses = self.address.0;
        let listener = Listener {
            name: name.value.clone(),
            protocol: self.protocol,
            socket: SocketOptions {
                backlog: self.backlog,
                v6_only: self.v6_only.is_none_or(|v6_only| v6_only.value),
                reuse_port: self.reuse_port.is_some_and(|reuse_port| reuse_port.value),
                fast_open: self.fast_open.map_or(0, |length| length.value.0),
                keepalive: resolve_keepalive(self.keepalive, resolver),
                mode: self.mode.map_or(MODE, |mode| mode.value.0.0),
                owner: self.owner,
                group: self.group,
            },
            addresses,
            trusted_proxies: self
                .trusted_proxies
                .into_iter()
                .map(|text| text.0)
                .collect(),
            client_address: self.client_address,
            proxy_protocol: self.proxy_protocol.map(|raw| raw.resolve(resolver)),
            https_redirect: self.https_redirect.and_then(|redirect| {
                HttpsRedirect::resolve(redirect, self.tls.is_some(), resolver)
            }),
            hsts: self
                .hsts
                .map(|hsts| resolve_hsts(hsts, self.tls.is_some(), resolver)),
            tls: self.tls.map(|tls| tls.value.resolve(tls.span, resolver)),
        };
        (name, listener)
    }

    /// An option for a kind of socket that the listener does not have does nothing, so it is a mistake.
    fn check_kinds(&self, resolver: &mut Resolver) {
        let any =
            |kind: fn(&ListenAddress) -> bool| self.address.0.iter().any(|it| kind(&it.value));
        if !any(is_unix) {
            let given = [
                ("mode", self.mode.as_ref().map(|key| key.span)),
                ("owner", self.owner.as_ref().map(|key| key.span)),
                ("group", self.group.as_ref().map(|key| key.span)),
            ];
            let help = "remove it, or listen on an address such as \"unix:/run/tidegate.sock\"";
            reject_given(&given, "Unix sockets", help, resolver);
        }
        if !any(is_v6) {
            let given = [("v6_only", self.v6_only.as_ref().map(|key| key.span))];
            let help = "remove it, or listen on an address such as \"[::]:8080\"";
            reject_given(&given, "IPv6", help, resolver);
        }
        if !any(is_tcp) {
            let reuse_port = self.reuse_port.as_ref().filter(|key| key.value);
            let fast_open = self.fast_open.as_ref().filter(|key| key.value.0 > 0);
            let given = [
                ("reuse_port", reuse_port.map(|key| key.span)),
                ("fast_open", fast_open.map(|key| key.span)),
            ];
            let help = "remove it, or listen on an address such as \"0.0.0.0:8080\"";
            reject_given(&given, "TCP", help, resolver);
        }
    }
}

fn reject_given(given: &[(&str, Option<Span>)], kind: &str, help: &str, resolver: &mut Resolver) {
    for (key, span) in given {
        if let Some(span) = span {
            resolver.reject(*span, format!("`{key}` is for {kind} only"), help);
        }
    }
}

fn is_unix(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Bind(Address::Unix(_)))
}

fn is_v6(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Bind(Address::Socket(socket)) if socket.is_ipv6())
}

/// What systemd hands over has the options that its unit gives it.
fn is_tcp(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Bind(Address::Socket(_)))
}

fn resolve_keepalive(
    keepalive: Option<Located<Text<Option<Duration>>>>,
    resolver: &mut Resolver,
) -> Option<Duration> {
    let Some(keepalive) = keepalive else {
        return Some(KEEPALIVE);
    };
    let idle = keepalive.value.0;
    if idle.is_some_and(|idle| !(KEEPALIVE_MIN..=KEEPALIVE_MAX).contains(&idle)) {
        resolver.reject(
            keepalive.span,
            "the system does not take this time",
            "expected \"1s\" to \"9h\", or \"0s\" for no probes",
        );
    }
    idle
}

fn resolve_hsts(hsts: Located<Brief<RawHsts>>, tls: bool, resolver: &mut Resolver) -> Hsts {
    if !tls {
        resolver.reject(
            hsts.span,
            "browsers do not believe `hsts` without TLS (RFC 6797 §8.1)",
            "put it on a listener with `tls`",
        );
    }
    hsts.value.0.resolve(resolver)
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

/// Its owner and its group.
const MODE: u32 = 0o660;
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);
/// The system counts to 32767 seconds.
const KEEPALIVE_MAX: Duration = Duration::from_secs(9 * 3600);
