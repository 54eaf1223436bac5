//! Against a real server on loopback; time is a number.

use super::*;
use crate::http::testing::{Server, reply};
use crate::http::{Grant, Settings, Transport};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::Semaphore;

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

/// An issuer with a cache of its keys.
struct Issuer {
    server: Server,
    client: Client,
    jwks: Jwks,
    now: Arc<AtomicU64>,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
    /// Answers are given while there are permits.
    gate: Arc<Semaphore>,
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

/// A set with only these of the vectors' keys.
fn set(ids: &[&str]) -> String {
    let vectors = vectors();
    let keys = vectors["jwks"]["keys"].as_array().unwrap().iter();
    let keys: Vec<&Value> = keys
        .filter(|key| ids.iter().any(|id| key["kid"] == *id))
        .collect();
    json!({ "keys": keys }).to_string()
}

fn token(algorithm: &str) -> String {
    let vectors = vectors();
    let mut tokens = vectors["tokens"].as_array().unwrap().iter();
    let token = tokens
        .find(|token| token["algorithm"] == algorithm)
        .unwrap();
    token["token"].as_str().unwrap().into()
}

impl Issuer {
    async fn start(ids: &[&str]) -> Issuer {
        let answer = Arc::new(Mutex::new((200, set(ids))));
        let asked = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let server = Server::start({
            let (answer, asked, gate) = (answer.clone(), asked.clone(), gate.clone());
            move |_| {
                let (answer, asked, gate) = (answer.clone(), asked.clone(), gate.clone());
                async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                    let (status, body) = answer.lock().unwrap().clone();
                    reply(status, body)
                }
            }
        })
        .await;
        let grant = Grant::parse(&format!("http://{}", server.address), true).unwrap();
        let client = Transport::new(Settings::default()).client(vec![grant], 8);
        let (start, now) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let clock = now.clone();
        let clock = move || start + Duration::from_secs(clock.load(Ordering::SeqCst));
        let settings = JwksSettings {
            urls: 2,
            ..JwksSettings::default()
        };
        Issuer {
            server,
            client,
            jwks: Jwks::new(settings, Arc::new(clock)),
            now,
            answer,
            asked,
            gate,
        }
    }

    fn answer(&self, status: u16, body: impl Into<String>) {
        *self.answer.lock().unwrap() = (status, body.into());
    }

    fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn url(&self, path: &str) -> KeyUrl {
        let (refresh, stale) = (Duration::from_secs(10 * MINUTE), Duration::from_secs(DAY));
        KeyUrl::new(&self.server.url(path), refresh, stale).unwrap()
    }

    async fn verify(&self, algorithm: &str) -> Result<(), JwsError> {
        self.verify_at("/keys", algorithm).await
    }

    async fn verify_at(&self, path: &str, algorithm: &str) -> Result<(), JwsError> {
        let (url, token) = (self.url(path), token(algorithm));
        let allowed = [algorithm.parse().unwrap()];
        let verified = self.jwks.verify(&self.client, &url, &token, &allowed);
        verified.await.map(|_| ())
    }

    /// Wait until no fetch is under way.
    async fn settled(&self) {
        let entries: Vec<_> = self
            .jwks
            .0
            .entries
            .lock()
            .unwrap()
            .values()
            .cloned()
            .collect();
        for entry in entries {
            let fetch = entry.state().under_way();
            if let Some(fetch) = fetch {
                landed(fetch).await;
            }
        }
    }
}

fn unavailable(verified: &Result<(), JwsError>) -> bool {
    matches!(verified, Err(JwsError::Unavailable(_)))
}

#[tokio::test]
async fn the_first_token_waits_and_the_next_do_not() {
    let issuer = Issuer::start(&["rsa", "p256"]).await;
    assert_eq!(issuer.verify("RS256").await, Ok(()));
    assert_eq!(issuer.verify("ES256").await, Ok(()));
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn many_at_once_are_one_fetch() {
    let issuer = Arc::new(Issuer::start(&["rsa"]).await);
    let verified: Vec<_> = (0..20)
        .map(|_| {
            let issuer = issuer.clone();
            tokio::spawn(async move { issuer.verify("RS256").await })
        })
        .collect();
    for verified in verified {
        assert_eq!(verified.await.unwrap(), Ok(()));
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_fetch_outlives_the_one_who_asked() {
    let issuer = Arc::new(Issuer::start(&["rsa"]).await);
    issuer.gate.forget_permits(Semaphore::MAX_PERMITS);
    let asking = issuer.clone();
    let asking = tokio::spawn(async move { asking.verify("RS256").await });
    while issuer.asked() == 0 {
        tokio::task::yield_now().await;
    }
    asking.abort();
    assert!(asking.await.is_err());
    issuer.gate.add_permits(1);
    assert_eq!(issuer.verify("RS256").await, Ok(()));
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn keys_in_use_are_renewed_behind_their_back() {
    let issuer = Issuer::start(&["rsa"]).await;
    issuer.verify("RS256").await.unwrap();
    issuer.pass(8 * MINUTE - 1);
    issuer.verify("RS256").await.unwrap();
    assert_eq!(issuer.asked(), 1);
    issuer.pass(1);
    // It does not wait: the answer is held back.
    issuer.gate.forget_permits(Semaphore::MAX_PERMITS);
    issuer.verify("RS256").await.unwrap();
    issuer.verify("RS256").await.unwrap();
    issuer.gate.add_permits(1);
    issuer.settled().await;
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn keys_that_nobody_used_are_fetched_before_they_are() {
    let issuer = Issuer::start(&["rsa", "p256"]).await;
    issuer.verify("RS256").await.unwrap();
    issuer.answer(200, set(&["p256"]));
    issuer.pass(10 * MINUTE);
    assert_eq!(
        issuer.verify("RS256").await,
        Err(JwsError::UnknownKey),
        "it was revoked"
    );
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_in_a_while() {
    let issuer = Issuer::start(&["rsa"]).await;
    issuer.verify("RS256").await.unwrap();
    issuer.answer(200, set(&["rsa", "p256"]));
    assert_eq!(issuer.verify("ES256").await, Ok(()), "a key that is new");
    assert_eq!(issuer.asked(), 2);
    for _ in 0..10 {
        assert_eq!(issuer.verify("ES384").await, Err(JwsError::UnknownKey));
    }
    issuer.pass(29);
    assert_eq!(issuer.verify("ES384").await, Err(JwsError::UnknownKey));
    assert_eq!(issuer.asked(), 2);
    issuer.pass(1);
    assert_eq!(issuer.verify("ES384").await, Err(JwsError::UnknownKey));
    assert_eq!(issuer.asked(), 3);
}

#[tokio::test]
async fn old_keys_serve_through_an_outage() {
    let issuer = Issuer::start(&["rsa"]).await;
    issuer.verify("RS256").await.unwrap();
    for (status, body) in [
        (500, set(&["rsa"])),
        (404, String::new()),
        (302, String::new()),
        (200, "<html>".into()),
        (200, " ".repeat(JWKS_BYTES_MAX + 1)),
        (200, json!({ "keys": [{ "kty": "none" }] }).to_string()),
    ] {
        let asked = issuer.asked();
        issuer.answer(status, body);
        issuer.pass(60 * MINUTE);
        assert_eq!(issuer.verify("RS256").await, Ok(()));
        issuer.settled().await;
        assert_eq!(issuer.asked(), asked + 1);
    }
    issuer.pass(DAY);
    let verified = issuer.verify("RS256").await;
    assert!(unavailable(&verified), "{verified:?}");
    issuer.answer(200, set(&["rsa"]));
    issuer.pass(MINUTE);
    assert_eq!(issuer.verify("RS256").await, Ok(()), "it is over");
}

#[tokio::test]
async fn failures_are_tried_again_ever_more_slowly() {
    let issuer = Issuer::start(&[]).await;
    issuer.answer(500, "");
    let mut asked = 0;
    for backoff in [1, 2, 4, 8, 16, 32, 60, 60] {
        asked += 1;
        for _ in 0..3 {
            assert!(unavailable(&issuer.verify("RS256").await));
        }
        assert_eq!(issuer.asked(), asked);
        issuer.pass(backoff - 1);
        assert!(unavailable(&issuer.verify("RS256").await));
        assert_eq!(issuer.asked(), asked);
        issuer.pass(1);
    }
    issuer.answer(200, set(&["rsa"]));
    assert_eq!(issuer.verify("RS256").await, Ok(()));
}

#[tokio::test]
async fn keys_are_for_those_who_may_fetch_them() {
    let issuer = Issuer::start(&["rsa"]).await;
    issuer.verify("RS256").await.unwrap();
    let stranger = Transport::new(Settings::default()).client(vec![], 8);
    let allowed = [Algorithm::Rs256];
    let verified = issuer
        .jwks
        .verify(&stranger, &issuer.url("/keys"), &token("RS256"), &allowed)
        .await;
    assert!(
        matches!(verified, Err(JwsError::Unavailable(_))),
        "{verified:?}"
    );
}

#[tokio::test]
async fn sets_are_bounded_and_the_least_used_gives_way() {
    let issuer = Issuer::start(&["rsa"]).await;
    for (path, asked) in [
        ("/a", 1),
        ("/b", 2),
        ("/a", 2),
        ("/c", 3),
        ("/a", 3),
        ("/b", 4),
    ] {
        issuer.pass(1);
        assert_eq!(issuer.verify_at(path, "RS256").await, Ok(()));
        assert_eq!(issuer.asked(), asked, "{path}");
    }
}
