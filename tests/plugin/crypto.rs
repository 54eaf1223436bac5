//! Cryptography for plugins: digests, codes, passwords and tokens.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::Full;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Origin, Proxy, until};

use super::calls::{call, calling, is, outcome, refused};
use super::support::{echo_route, start};

/// One worker, a route through `vault`, and a fixed one.
fn config(http: &str) -> String {
    format!(
        "
[server]
threads = 1

[plugins]
cache = \"off\"
deadline = \"2s\"
wait = \"15s\"

[plugin.vault]
allow = {{ crypto = true, secrets = [\"key\"], http = {http} }}

[secret.key]
command = [\"echo\", {SHARED:?}]
{}{}",
        echo_route("all", "/*", "[\"vault\"]"),
        echo_route("good", "/good", "[]")
    )
}

/// The key of HS256; 32 bytes are the least.
const SHARED: &str = "0123456789abcdef0123456789abcdef";

async fn proxy() -> Proxy {
    start(&["vault"], &config("[]")).await
}

#[tokio::test]
async fn digests_and_codes_are_the_standard_ones() {
    let proxy = proxy().await;
    // FIPS 180-2, appendix A and B, and RFC 4231 §4.3.
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for (hash, begins) in [
        ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("sha256", sha256),
        ("sha384", "cb00753f45a35e8bb5a03d699ac65007"),
        ("sha512", "ddaf35a193617abacc417349ae204131"),
    ] {
        let digest = json!({ "digest": { "hash": hash, "data": "abc" } });
        let digest = call(&proxy, &digest).await.unwrap();
        assert!(digest.starts_with(begins), "{hash}: {digest}");
    }
    let data = "what do ya want for nothing?";
    let code = json!({ "hmac": { "hash": "sha256", "key": { "bytes": "Jefe" }, "data": data } });
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(call(&proxy, &code).await, is(expected));
    for (a, b, same) in [
        ("a", "a", "true"),
        ("a", "b", "false"),
        ("a", "aa", "false"),
    ] {
        assert_eq!(call(&proxy, &json!({ "equal": [a, b] })).await, is(same));
    }
}

const PASSWORD: &str = "hunter2";

/// Of [`PASSWORD`].
const HASHES: [&str; 2] = [
    "$2b$04$O2ahe5wd1jQaRImuBJ9UpeyTOBuiFpDo3jviEiv3GLq0Ov3OKcwrW",
    "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQw$m8nXyMBJJ6PY3vbSfp2Jwx0UrdAAv4XrsThaGDB2jL0",
];

/// Takes some tenths of a second; fits no password that is known.
const COSTLY: &str = "$2b$13$O2ahe5wd1jQaRImuBJ9UpeyTOBuiFpDo3jviEiv3GLq0Ov3OKcwrW";

fn password(hash: &str, password: &str) -> Value {
    json!({ "password": { "hash": hash, "password": password } })
}

#[tokio::test]
async fn passwords_fit_their_hash_alone() {
    let proxy = proxy().await;
    for hash in HASHES {
        assert_eq!(
            call(&proxy, &password(hash, PASSWORD)).await,
            is("true"),
            "{hash}"
        );
        assert_eq!(
            call(&proxy, &password(hash, "wrong")).await,
            is("false"),
            "{hash}"
        );
    }
    for hash in [
        "",
        "nonsense",
        "$2b$31$O2ahe5wd1jQaRImuBJ9UpeyTOBuiFpDo3jviEiv3GLq0Ov3OKcwrW",
    ] {
        let answer = call(&proxy, &password(hash, PASSWORD)).await;
        assert_eq!(answer, refused("invalid-value"), "{hash}");
    }
}

#[tokio::test]
async fn a_password_is_checked_beside_the_worker() {
    let proxy = proxy().await;
    let mut client = proxy.client().await;
    let request = calling("/", &password(COSTLY, "wrong"));
    let start = Instant::now();
    let checking = tokio::spawn(async move { outcome(&client.send(request).await) });
    let mut answered = 0;
    while !checking.is_finished() {
        assert_eq!(proxy.get("/good").await.status, 200);
        answered += 1;
    }
    assert_eq!(checking.await.unwrap(), is("false"));
    let took = start.elapsed();
    println!("{answered} requests in {took:?}");
    assert!(took > Duration::from_millis(100), "not costly: {took:?}");
    assert!(answered > 10, "{answered} requests in {took:?}");
}

/// A key of an issuer, made from this number.
fn key(number: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap()
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A set of these keys; their ids are their numbers.
fn jwks(numbers: &[u8]) -> String {
    let keys = numbers.iter().map(|number| {
        let public = base64(key(*number).public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": number.to_string(), "x": public })
    });
    json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
}

const CLAIMS: &str = r#"{"sub":"ada"}"#;

/// Signed with the key, as the one with this id.
fn token(number: u8, id: u8) -> String {
    let header = json!({ "alg": "EdDSA", "kid": id.to_string() }).to_string();
    let signed = format!("{}.{}", base64(header), base64(CLAIMS));
    let signature = key(number).sign(signed.as_bytes());
    format!("{signed}.{}", base64(signature))
}

fn shared_token(key: &str) -> String {
    let signed = format!("{}.{}", base64(r#"{"alg":"HS256"}"#), base64(CLAIMS));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    format!("{signed}.{}", base64(hmac::sign(&key, signed.as_bytes())))
}

fn pem(number: u8) -> String {
    // A `SubjectPublicKeyInfo` of Ed25519 (RFC 8410 §4) differs in the key alone.
    let mut info = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".to_vec();
    info.extend(key(number).public_key().as_ref());
    let info = STANDARD.encode(info);
    format!("-----BEGIN PUBLIC KEY-----\n{info}\n-----END PUBLIC KEY-----\n")
}

fn verify(token: &str, keys: Value, algorithm: &str) -> Value {
    json!({ "jws": { "token": token, "keys": keys, "algorithms": [algorithm] } })
}

#[tokio::test]
async fn a_token_is_accepted_with_its_key_alone() {
    let proxy = proxy().await;
    let good = token(1, 1);
    let (set, shared) = (json!({ "jwks": jwks(&[1, 2]) }), shared_token(SHARED));
    let unsigned = format!("{}.{}.", base64(r#"{"alg":"none"}"#), base64(CLAIMS));
    let by_secret = json!({ "shared": { "secret": "key" } });
    let by_bytes = json!({ "shared": { "bytes": SHARED } });
    for (token, keys, algorithm, answer) in [
        (&good, &set, "EdDSA", is(CLAIMS)),
        (&good, &json!({ "pem": pem(1) }), "EdDSA", is(CLAIMS)),
        (&shared, &by_secret, "HS256", is(CLAIMS)),
        (&shared, &by_bytes, "HS256", is(CLAIMS)),
        (&token(2, 1), &set, "EdDSA", refused("signature")),
        (&token(3, 3), &set, "EdDSA", refused("unknown-key")),
        (
            &good,
            &json!({ "pem": pem(2) }),
            "EdDSA",
            refused("signature"),
        ),
        (&good, &set, "RS256", refused("algorithm")),
        (&unsigned, &set, "EdDSA", refused("algorithm")),
        (
            &shared_token("another"),
            &by_secret,
            "HS256",
            refused("signature"),
        ),
        (&"a.b".to_owned(), &set, "EdDSA", refused("malformed")),
        (
            &good,
            &json!({ "jwks": "nonsense" }),
            "EdDSA",
            refused("invalid-keys"),
        ),
        (
            &good,
            &json!({ "shared": { "bytes": "short" } }),
            "HS256",
            refused("invalid-keys"),
        ),
    ] {
        let verified = call(&proxy, &verify(token, keys.clone(), algorithm)).await;
        assert_eq!(verified, answer, "{token} {keys}");
    }
    // A public key is no shared one, whatever the token says (RFC 8725 §2.1).
    let confused = shared_token(&pem(1));
    let confused = call(
        &proxy,
        &verify(&confused, json!({ "pem": pem(1) }), "HS256"),
    )
    .await;
    assert!(confused.is_err(), "{confused:?}");
}

/// An issuer whose set of keys a test can change; `None` for one that answers with 500.
async fn issuer(keys: &[u8]) -> (Origin, Arc<Mutex<Option<String>>>) {
    let set = Arc::new(Mutex::new(Some(jwks(keys))));
    let shared = set.clone();
    let origin = Origin::answering(move |_| match shared.lock().unwrap().clone() {
        Some(set) => http::Response::new(Full::from(set)),
        None => {
            let failure = http::Response::builder().status(500);
            failure.body(Full::default()).unwrap()
        }
    })
    .await;
    (origin, set)
}

async fn proxy_before(issuer: &Origin) -> Proxy {
    let http = format!(
        "[{{ origin = \"http://{}\", private = true }}]",
        issuer.address()
    );
    start(&["vault"], &config(&http)).await
}

/// With the least time between two fetches.
fn verify_by(issuer: &Origin, token: &str) -> Value {
    let url = format!("http://{}/keys", issuer.address());
    json!({ "jws-url": { "token": token, "url": url, "refresh": 10, "stale": 600 } })
}

#[tokio::test]
async fn keys_at_a_url_are_fetched_once_for_many_requests() {
    let (issuer, _keys) = issuer(&[1]).await;
    let proxy = proxy_before(&issuer).await;
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let mut client = proxy.client().await;
        let asked = verify_by(&issuer, &token(1, 1));
        clients.spawn(async move {
            for _ in 0..5 {
                assert_eq!(
                    outcome(&client.send(calling("/", &asked)).await),
                    is(CLAIMS)
                );
            }
        });
    }
    clients.join_all().await;
    assert_eq!(issuer.seen().len(), 1);
    let forged = call(&proxy, &verify_by(&issuer, &token(2, 1))).await;
    assert_eq!(forged, refused("signature"));
}

#[tokio::test]
async fn a_new_key_is_found_by_its_id() {
    let (issuer, keys) = issuer(&[1]).await;
    let proxy = proxy_before(&issuer).await;
    assert_eq!(
        call(&proxy, &verify_by(&issuer, &token(1, 1))).await,
        is(CLAIMS)
    );
    *keys.lock().unwrap() = Some(jwks(&[1, 2]));
    assert_eq!(
        call(&proxy, &verify_by(&issuer, &token(2, 2))).await,
        is(CLAIMS)
    );
    assert_eq!(issuer.seen().len(), 2);
    // Ids that nobody has do not make it ask again and again.
    for _ in 0..10 {
        let unknown = call(&proxy, &verify_by(&issuer, &token(3, 3))).await;
        assert_eq!(unknown, refused("unknown-key"));
    }
    assert_eq!(issuer.seen().len(), 2);
}

#[tokio::test]
async fn an_outage_of_the_issuer_is_not_noticed() {
    let (issuer, keys) = issuer(&[1]).await;
    let proxy = proxy_before(&issuer).await;
    let asked = verify_by(&issuer, &token(1, 1));
    let fetched = Instant::now();
    assert_eq!(call(&proxy, &asked).await, is(CLAIMS));
    *keys.lock().unwrap() = None;
    // Until the keys are old and could not be had anew.
    until("fetches that failed", async || {
        assert_eq!(
            call(&proxy, &asked).await,
            is(CLAIMS),
            "{:?}",
            fetched.elapsed()
        );
        let old = fetched.elapsed() > Duration::from_millis(10_500);
        (old && issuer.seen().len() >= 2).then_some(())
    })
    .await;
    let tries = issuer.seen().len();
    assert!(tries < 10, "{tries} fetches");
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_unavailable() {
    let (issuer, keys) = issuer(&[1]).await;
    *keys.lock().unwrap() = None;
    let proxy = proxy_before(&issuer).await;
    let asked = verify_by(&issuer, &token(1, 1));
    assert_eq!(call(&proxy, &asked).await, refused("unavailable"));
    *keys.lock().unwrap() = Some(jwks(&[1]));
    until("the keys", async || call(&proxy, &asked).await.ok()).await;
    // Whom the plugin may not call, nobody calls for it.
    let elsewhere = Origin::echo().await;
    let asked = verify_by(&elsewhere, &token(1, 1));
    assert_eq!(call(&proxy, &asked).await, refused("unavailable"));
    assert_eq!(elsewhere.accepted(), 0);
}
