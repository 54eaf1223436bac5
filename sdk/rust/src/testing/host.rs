//! What outlives an exchange: what the operator granted and the plugin's lasting state.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Instance;
use super::imports::crypto::Credentials;
use super::imports::http_client::Servers;
use super::imports::interest::Interests;
use super::imports::kv::Stores;
use super::imports::limiter::Limits;
use super::imports::secrets::Secrets;
use crate::log::Level;
use crate::{ConfigError, Plugin};

/// Name and labels of one series.
pub(super) type Series = (String, BTreeMap<String, String>);

/// The host that a plugin runs in. What a plugin needs from its operator is set here, before
/// [`configure`](Self::configure) or later through [`Instance::host`]:
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::testing::{Exchange, Host};
/// # #[derive(Deserialize)]
/// # struct Canary {}
/// #[plugin]
/// impl Plugin for Canary {
///     fn on_upstream_choice(&self, _: &mut Request, upstream: &mut Upstream) -> Action {
///         match upstream.choose_group("canary") {
///             Ok(()) => Action::Proceed,
///             Err(_) => Action::Fail,
///         }
///     }
/// }
///
/// let mut host = Host::new();
/// host.add_upstream("canary", &["192.0.2.20:80"]);
/// let mut canary = host.configure::<Canary>("{}").unwrap();
///
/// let mut exchange = Exchange::get("/");
/// assert_eq!(canary.on_upstream_choice(&mut exchange), Action::Fail);
///
/// canary.host().grant_upstream("canary");
/// assert_eq!(canary.on_upstream_choice(&mut exchange), Action::Proceed);
/// assert_eq!(exchange.upstream(), "canary");
/// ```
pub struct Host {
    /// Which of them it is: an exchange can pass several plugins.
    pub(super) id: usize,
    /// The wall clock's start, since 1970.
    pub(super) epoch: Duration,
    /// How far time went on.
    pub(super) elapsed: Duration,
    pub(super) interest: Interests,
    pub(super) body_bytes: u64,
    pub(super) upstreams: BTreeMap<String, Vec<String>>,
    pub(super) granted_upstreams: BTreeSet<String>,
    pub(super) limits: Limits,
    pub(super) random: fastrand::Rng,
    pub(super) secrets: Secrets,
    pub(super) kv: Stores,
    pub(super) http: Servers,
    pub(super) credentials: Credentials,
    pub(super) log: Vec<(Level, String)>,
    pub(super) metrics: BTreeMap<Series, f64>,
}

impl Host {
    /// A host that grants nothing by name. The time is 2026-01-01T00:00:00Z, and there is the
    /// upstream `app` with the peers `192.0.2.10:80` and `192.0.2.11:80`, which exchanges use.
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mut host = Self {
            id: COUNT.fetch_add(1, Ordering::Relaxed),
            epoch: Duration::from_secs(1_767_225_600),
            elapsed: Duration::ZERO,
            interest: Interests::default(),
            body_bytes: 1 << 20,
            upstreams: BTreeMap::new(),
            granted_upstreams: BTreeSet::new(),
            limits: Limits::default(),
            random: fastrand::Rng::with_seed(0),
            secrets: Secrets::default(),
            kv: Stores::default(),
            http: Servers::default(),
            credentials: Credentials::default(),
            log: Vec::new(),
            metrics: BTreeMap::new(),
        };
        host.add_upstream("app", &["192.0.2.10:80", "192.0.2.11:80"]);
        host
    }

    /// Configure a plugin with JSON.
    ///
    /// # Errors
    ///
    /// What the plugin says is wrong with it.
    pub fn configure<P: Plugin>(self, json: &str) -> Result<Instance<P>, Vec<ConfigError>> {
        Instance::configure_in(self, json)
    }

    /// The largest body that a plugin may buffer or peek at: the operator's `body_bytes`. It
    /// begins at 1 MiB.
    pub fn set_body_bytes(&mut self, bytes: u64) {
        self.body_bytes = bytes;
    }

    /// An upstream of the proxy, with its peers. The plugin may choose it where it is the route's
    /// ([`Exchange::route_upstream`](super::Exchange::route_upstream)) or granted.
    pub fn add_upstream(&mut self, group: &str, peers: &[&str]) {
        let peers = peers.iter().map(|&peer| peer.to_owned()).collect();
        self.upstreams.insert(group.to_owned(), peers);
    }

    /// Let the plugin choose an upstream: `allow = { upstreams = […] }`.
    pub fn grant_upstream(&mut self, group: &str) {
        self.granted_upstreams.insert(group.to_owned());
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}
