//! Records for the challenge `dns-01` (RFC 8555 §8.4).

mod hook;
mod update;

use std::time::Duration;

pub use hook::Hook;
pub use update::{Key, KeyError, Update};

use crate::name::Name;

/// How records come into DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dns {
    /// By dynamic updates of a zone (RFC 2136).
    Update(Update),
    /// By a program.
    Hook(Hook),
}

/// Why a record was not set. The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("the DNS server {server} cannot be reached: {error}")]
    Unreachable {
        server: String,
        error: std::io::Error,
    },
    #[error("the DNS server {server} did not answer within {timeout:?}")]
    Late { server: String, timeout: Duration },
    #[error("the DNS server {server} refused to {doing} {record}: {code}{advice}")]
    Refused {
        server: String,
        doing: &'static str,
        record: String,
        code: String,
        advice: &'static str,
    },
    #[error("the answer of the DNS server {server} is not valid: {reason}")]
    Answer { server: String, reason: String },
    #[error("`{record}` is not in the zone `{zone}`; it can be set in that zone only")]
    OtherZone { record: String, zone: String },
    #[error("the DNS server {server} does not show {record} within {timeout:?} after it was set")]
    Unseen {
        server: String,
        record: String,
        timeout: Duration,
    },
    #[error("cannot run {program}: {error}")]
    Run {
        program: String,
        error: std::io::Error,
    },
    #[error("{program} failed for {record}: {status}{said}")]
    Failed {
        program: String,
        record: String,
        status: std::process::ExitStatus,
        said: String,
    },
    #[error("{program} did not end within {timeout:?} and was killed")]
    Slow { program: String, timeout: Duration },
}

impl Dns {
    /// Sets the record of a challenge beside others that are there, and comes back when it is seen.
    pub(crate) async fn add(&self, name: &Name, value: &str) -> Result<(), DnsError> {
        let record = record(name);
        match self {
            Dns::Update(update) => update.add(&record, value).await,
            Dns::Hook(hook) => hook.run("add", &record, value).await,
        }
    }

    /// Takes it away again.
    pub(crate) async fn remove(&self, name: &Name, value: &str) -> Result<(), DnsError> {
        let record = record(name);
        match self {
            Dns::Update(update) => update.remove(&record, value).await,
            Dns::Hook(hook) => hook.run("remove", &record, value).await,
        }
    }
}

fn record(name: &Name) -> String {
    format!("_acme-challenge.{}", name.base())
}
