//! What is to be known of an authority, and what it is asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::dns::Dns;
use crate::name::Names;
use crate::rate::Rate;
use crate::schedule::Schedule;
use crate::secret::Secret;
use crate::store::StoreKey;

/// An authority, the account with it, and the certificates that it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// What it is called in the configuration.
    pub name: Arc<str>,
    /// The URL of its directory; https.
    pub directory: String,
    /// PEM of who vouches for its server; `None` is the system's authorities.
    pub roots: Option<Vec<u8>>,
    /// Where it reaches the operator: URLs.
    pub contact: Vec<String>,
    /// An account of another kind that it knows already.
    pub external_account: Option<ExternalAccount>,
    /// The names of the authorities that are asked, in this order, when it fails.
    pub fallback: Vec<Arc<str>>,
    /// The folder of accounts, keys and certificates.
    pub store: PathBuf,
    /// What keys are encrypted with there.
    pub store_key: Option<StoreKey>,
    /// How control of names is shown.
    pub challenge: Challenge,
    /// The certificates that it is asked for. No two have the same main name.
    pub certificates: Vec<Names>,
    /// The kind of their keys.
    pub key_type: KeyType,
    /// When they are renewed.
    pub schedule: Schedule,
    /// How long one request to it may take, its answer included.
    pub request_timeout: Duration,
    /// How long an order may take, its challenges included.
    pub order_timeout: Duration,
    /// Whether and how certificates are ordered when a client asks for a name.
    pub on_demand: Option<OnDemand>,
}

/// External account binding (RFC 8555 §7.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Given by the authority.
    pub key_id: String,
    /// The key, decoded.
    pub key: Secret,
}

/// The kind of a key. There is no RSA: ring does not make such keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
}

/// How control of a name is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By a request on port 80 (RFC 8555 §8.3).
    Http01,
    /// By a handshake on port 443 (RFC 8737).
    TlsAlpn01,
    /// By a record in DNS (RFC 8555 §8.4).
    Dns01(Box<Dns>),
}

/// Orders that clients cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDemand {
    /// Who is asked before, with `?domain=NAME`: a URL, http or https. 200 means yes.
    pub ask: String,
    /// How long the answer may take.
    pub ask_timeout: Duration,
    /// The most questions that clients cause with names that they make up.
    pub ask_limit: Rate,
    /// The most orders.
    pub limit: Rate,
    /// The most names that are asked about or ordered at one time: clients make them up.
    pub pending: usize,
    /// How long the client that came first waits for its certificate.
    pub wait: Duration,
    /// How long a name that was refused or failed is not asked for again.
    pub remember: Duration,
    /// The most names that this is known of; the oldest gives way.
    pub remember_names: usize,
}
