//! Key sets at URLs: fetched once for all, refreshed before they are old, kept through an outage.

use super::algorithm::Algorithm;
use super::jws::{Jws, JwsError, verify_jws};
use super::key_set::{JWKS_BYTES_MAX, KeySet};
use crate::http::{Client, Failure, RequestHead, Timeouts, Trust};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The least time between two regular fetches.
const REFRESH_MIN: Duration = Duration::from_secs(10);
/// Fetches because of a key id that nobody knows; tokens that name one cost nothing to make.
const UNKNOWN_EVERY: Duration = Duration::from_secs(30);
/// After a failure, doubled with each.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Where the time comes from; tests have their own.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Bounds of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksSettings {
    /// Key sets that are kept. One more takes the place of the one that was not asked for the longest.
    pub urls: usize,
    /// How long a fetch may take.
    pub timeouts: Timeouts,
}

/// Where keys are, and how new they have to be.
#[derive(Clone)]
pub struct KeyUrl {
    url: String,
    head: RequestHead,
    refresh: Duration,
    stale: Duration,
}

/// Key sets, shared by all plugins that fetch them with the same trust. Cheap to clone.
#[derive(Clone)]
pub struct Jwks(Arc<Inner>);

struct Inner {
    settings: JwksSettings,
    clock: Clock,
    entries: Mutex<HashMap<(String, Trust), Arc<Entry>>>,
}

#[derive(Default)]
struct Entry(Mutex<State>);

#[derive(Default)]
struct State {
    asked: Option<Instant>,
    good: Option<Good>,
    /// Since the last success.
    failures: u32,
    failure: String,
    retry: Option<Instant>,
    /// When an unknown key id made it fetch.
    unknown: Option<Instant>,
    /// Its sender is dropped when the fetch has ended, however it ended.
    fetch: Option<watch::Receiver<()>>,
}

#[derive(Clone)]
struct Good {
    keys: Arc<KeySet>,
    fetched: Instant,
}

/// What to do for a token.
enum Step {
    Use(Arc<KeySet>),
    /// Use it, and have a new one fetched.
    Renew(Arc<KeySet>),
    Fetch,
    Wait(watch::Receiver<()>),
    Fail,
}

impl KeyUrl {
    /// Keys are fetched again `refresh` after they were (at least 10 s), and serve until `stale` if that fails.
    ///
    /// # Errors
    /// It is not a URL that can be called.
    pub fn new(url: &str, refresh: Duration, stale: Duration) -> Result<KeyUrl, Failure> {
        let accept: &[u8] = b"application/jwk-set+json, application/json";
        let refresh = refresh.max(REFRESH_MIN);
        Ok(KeyUrl {
            url: url.into(),
            head: RequestHead::new("GET", url, [("accept", accept)])?,
            refresh,
            stale: stale.max(refresh),
        })
    }
}

impl Default for JwksSettings {
    fn default() -> JwksSettings {
        JwksSettings {
            urls: 256,
            timeouts: Timeouts {
                response: Duration::from_secs(5),
                idle: Duration::from_secs(5),
            },
        }
    }
}

impl Jwks {
    /// An empty cache. `clock` is `Arc::new(Instant::now)`, save in tests.
    pub fn new(settings: JwksSettings, clock: Clock) -> Jwks {
        Jwks(Arc::new(Inner {
            settings,
            clock,
            entries: Mutex::default(),
        }))
    }

    /// Verify a token with keys from a URL. Waits while there are none or only old ones, and for one more
    /// fetch when no key fits the token. Nothing is fetched for keys that nobody asks for.
    ///
    /// Has to be called within a Tokio runtime.
    ///
    /// # Errors
    /// As [`verify_jws`]; [`JwsError::Unavailable`] if `client` may not call the URL, or if it was not
    /// there for as long as keys may be stale.
    pub async fn verify(
        &self,
        client: &Client,
        source: &KeyUrl,
        token: &str,
        allowed: &[Algorithm],
    ) -> Result<Jws, JwsError> {
        let entry = self.entry(client, source)?;
        let keys = self.keys(&entry, client, source).await?;
        match verify_jws(token, &keys, allowed) {
            Err(JwsError::UnknownKey) => {}
            verified => return verified,
        }
        let Some(fetch) = self.ask_again(&entry, client, source) else {
            return Err(JwsError::UnknownKey);
        };
        landed(fetch).await;
        let keys = self.keys(&entry, client, source).await?;
        verify_jws(token, &keys, allowed)
    }

    fn entry(&self, client: &Client, source: &KeyUrl) -> Result<Arc<Entry>, JwsError> {
        let trust = client.trust(&source.head);
        let trust = trust.map_err(|failure| JwsError::Unavailable(failure.to_string()))?;
        let now = (self.0.clock)();
        let key = (source.url.clone(), trust);
        let mut entries = self
            .0
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !entries.contains_key(&key) && entries.len() >= self.0.settings.urls {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.state().asked);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                entries.remove(&oldest);
            }
        }
        let entry = entries.entry(key).or_default().clone();
        entry.state().asked = Some(now);
        Ok(entry)
    }

    async fn keys(
        &self,
        entry: &Arc<Entry>,
        client: &Client,
        source: &KeyUrl,
    ) -> Result<Arc<KeySet>, JwsError> {
        // One wait is enough; another covers a fetch that was ended by its runtime.
        for _ in 0..3 {
            let fetch = {
                let mut state = entry.state();
                match state.step((self.0.clock)(), source) {
                    Step::Use(keys) => return Ok(keys),
                    Step::Renew(keys) => {
                        self.fetch(&mut state, entry, client, source);
                        return Ok(keys);
                    }
                    Step::Fetch => self.fetch(&mut state, entry, client, source),
                    Step::Wait(fetch) => fetch,
                    Step::Fail => break,
                }
            };
            landed(fetch).await;
        }
        Err(JwsError::Unavailable(entry.state().failure.clone()))
    }

    /// A fetch for a key that is not in the set: the one that is under way, or a new one, not too often.
    fn ask_again(
        &self,
        entry: &Arc<Entry>,
        client: &Client,
        source: &KeyUrl,
    ) -> Option<watch::Receiver<()>> {
        let now = (self.0.clock)();
        let mut state = entry.state();
        if let Some(fetch) = state.under_way() {
            return Some(fetch);
        }
        let lately = |at: Instant| now.saturating_duration_since(at) < UNKNOWN_EVERY;
        if state.unknown.is_some_and(lately) || state.waits_to_retry(now) {
            return None;
        }
        state.unknown = Some(now);
        Some(self.fetch(&mut state, entry, client, source))
    }

    /// In a task, so that it goes on for the others when the first who asked goes away.
    fn fetch(
        &self,
        state: &mut State,
        entry: &Arc<Entry>,
        client: &Client,
        source: &KeyUrl,
    ) -> watch::Receiver<()> {
        let (sender, receiver) = watch::channel(());
        state.fetch = Some(receiver.clone());
        let (inner, entry) = (self.0.clone(), entry.clone());
        let (client, head) = (client.clone(), source.head.clone());
        tokio::spawn(async move {
            let fetched = download(&client, head, inner.settings.timeouts).await;
            entry.state().settle(fetched, (inner.clock)());
            drop(sender);
        });
        receiver
    }
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn step(&self, now: Instant, source: &KeyUrl) -> Step {
        let under_way = self.under_way();
        let idle = under_way.is_none() && !self.waits_to_retry(now);
        if let Some(Good { keys, fetched }) = self.good.clone() {
            let age = now.saturating_duration_since(fetched);
            // In an outage nobody waits for what has just failed.
            if age < source.refresh || self.failures > 0 && age < source.stale {
                // Renewed in the last fifth of its time, keys that are in use are never waited for.
                let renew = idle && age >= source.refresh / 5 * 4;
                return if renew {
                    Step::Renew(keys)
                } else {
                    Step::Use(keys)
                };
            }
        }
        match under_way {
            Some(fetch) => Step::Wait(fetch),
            None if idle => Step::Fetch,
            None => Step::Fail,
        }
    }

    fn under_way(&self) -> Option<watch::Receiver<()>> {
        self.fetch
            .clone()
            .filter(|fetch| fetch.has_changed().is_ok())
    }

    fn waits_to_retry(&self, now: Instant) -> bool {
        self.retry.is_some_and(|retry| now < retry)
    }

    fn settle(&mut self, fetched: Result<KeySet, String>, now: Instant) {
        match fetched {
            Ok(keys) => {
                self.good = Some(Good {
                    keys: Arc::new(keys),
                    fetched: now,
                });
                self.failures = 0;
                self.retry = None;
            }
            Err(failure) => {
                tracing::warn!(%failure, "a key set cannot be fetched");
                let backoff = BACKOFF_MIN * (1 << self.failures.min(6));
                self.retry = Some(now + backoff.min(BACKOFF_MAX));
                self.failures = self.failures.saturating_add(1);
                self.failure = failure;
            }
        }
    }
}

async fn download(
    client: &Client,
    head: RequestHead,
    timeouts: Timeouts,
) -> Result<KeySet, String> {
    let origin = head.origin();
    let response = client
        .send(head, Bytes::new(), JWKS_BYTES_MAX, timeouts)
        .await;
    let response = response.map_err(|failure| failure.to_string())?;
    let status = response.head.status;
    if !status.is_success() {
        return Err(format!("{origin}: the answer is {}", status.as_u16()));
    }
    KeySet::from_jwks(&response.body).map_err(|error| format!("{origin}: the answer {error}"))
}

/// Wait until a fetch has ended. Nothing is ever sent: its sender is dropped.
async fn landed(mut fetch: watch::Receiver<()>) {
    while fetch.changed().await.is_ok() {}
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
