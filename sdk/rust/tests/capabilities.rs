//! Secrets, other servers, cryptography and random numbers.

#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::time::Duration;

use tidegate_sdk::crypto::{Algorithm, Hash, JwsError, KeyUrl, Keys};
use tidegate_sdk::http::Failure;
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Host, Instance};

/// Writes one line for each answer.
fn note(answer: impl Debug) {
    log::info!("{answer:?}");
}

/// The lines that were written since the last call.
fn run<P: Plugin>(plugin: &mut Instance<P>, exchange: &mut Exchange) -> Vec<String> {
    let before = plugin.log().len();
    plugin.on_request(exchange);
    let lines = plugin.log().iter().skip(before);
    lines.map(|(_, line)| line.clone()).collect()
}

fn get<P: Plugin>(plugin: &mut Instance<P>, path: &str) -> Vec<String> {
    run(plugin, &mut Exchange::get(path))
}

const MINUTE: Duration = Duration::from_secs(60);

struct Guard {
    key: Secret,
}

#[plugin]
impl Plugin for Guard {
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        let open = |name| secrets::open(name).map_err(|error| ConfigError::at("key", error));
        Ok(Self { key: open("key")? })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        note(self.key);
        note(self.key.reveal());
        let given = request.header("x-key").unwrap_or_else(|| vec![].into());
        note(crypto::equals_secret(given, &self.key));
        let Ok(code) = crypto::hmac(Hash::Sha256, &self.key, "what do ya want for nothing?") else {
            return Action::Fail;
        };
        note(code[0]);
        Action::Proceed
    }
}

#[test]
fn a_handle_stands_for_the_present_value_and_does_not_show_it() {
    let refused = Host::new().configure::<Guard>("{}").unwrap_err();
    assert!(refused[0].message.contains("forbidden"), "{refused:?}");

    let mut host = Host::new();
    host.set_secret("key", "old");
    let mut plugin = host.configure::<Guard>("{}").unwrap();
    plugin.host().set_secret("key", "Jefe");
    let lines = run(&mut plugin, &mut Exchange::get("/").header("x-key", "Jefe"));
    // RFC 4231 §4.3: the code begins with 5b.
    assert_eq!(
        lines,
        ["Secret", "Ok([74, 101, 102, 101])", "Ok(true)", "91"]
    );
}

#[derive(Deserialize)]
struct Client {
    #[serde(default)]
    early: bool,
}

#[plugin]
impl Plugin for Client {
    fn configure(config: Self, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        if config.early {
            note(http::get("https://a.example/").send().unwrap_err());
        }
        Ok(config)
    }

    fn on_request(&self, request: &mut Request) -> Action {
        let url = request.header("x-url").unwrap_or_else(|| vec![].into());
        let url = url.text().into_owned();
        match request.path().as_str() {
            "/post" => note(http::post(url).body("text/plain", "hi").limit(3).send()),
            "/stream" => note(stream(url)),
            "/framing" => note(http::get(url).header("content-length", "1").send()),
            _ => note(
                http::get(url)
                    .timeout(MINUTE)
                    .send()
                    .map(|response| response.status),
            ),
        }
        Action::Proceed
    }
}

fn stream(url: String) -> Result<String, Failure> {
    let mut call = http::Request::new("PUT", url).begin()?;
    call.write(b"one ")?;
    call.write(b"two")?;
    let mut response = call.finish()?;
    let mut text = format!("{} ", response.status);
    while let Some(piece) = response.read()? {
        text.push_str(&String::from_utf8_lossy(&piece));
    }
    Ok(text)
}

fn ask(plugin: &mut Instance<Client>, path: &str, url: &str) -> String {
    run(plugin, &mut Exchange::get(path).header("x-url", url)).remove(0)
}

#[test]
fn servers_answer_what_the_test_wrote_in_order() {
    let mut host = Host::new();
    host.add_http_answer("https://a.example/x?y", Reply::new(500));
    host.add_http_failure("https://a.example/x?y", Failure::Timeout);
    host.add_http_answer("https://a.example/x?y", Reply::new(200));
    let mut plugin = host.configure::<Client>("{}").unwrap();
    let url = "https://a.example/x?y";
    assert_eq!(ask(&mut plugin, "/", url), "Ok(500)");
    assert!(ask(&mut plugin, "/", url).contains("timeout"));
    assert_eq!(ask(&mut plugin, "/", url), "Ok(200)");
    assert_eq!(ask(&mut plugin, "/", url), "Ok(200)");
    assert_eq!(plugin.host().http_requests().len(), 4);
    assert_eq!(plugin.host().http_requests()[0].timeout, Some(MINUTE));
}

#[test]
fn what_was_not_granted_is_not_asked() {
    let mut host = Host::new();
    host.add_http_answer("https://a.example/x", Reply::new(200));
    let mut plugin = host.configure::<Client>("{}").unwrap();
    for (url, failure) in [
        ("https://a.example/other", "unreachable"),
        ("http://a.example/x", "forbidden"),
        ("https://a.example:444/x", "forbidden"),
        ("https://b.example/", "forbidden"),
        ("https://user@a.example/x", "invalid-request"),
        ("ftp://a.example/x", "invalid-request"),
        ("/x", "invalid-request"),
    ] {
        let answer = ask(&mut plugin, "/", url);
        assert!(answer.contains(failure), "{url}: {answer}");
    }
    let framing = ask(&mut plugin, "/framing", "https://a.example/x");
    assert!(framing.contains("invalid-request"), "{framing}");
    assert_eq!(plugin.host().http_requests().len(), 1);
    let early = Host::new()
        .configure::<Client>(r#"{"early": true}"#)
        .unwrap();
    assert!(early.log()[0].1.contains("wrong-phase"));
}

#[test]
fn bodies_go_both_ways_whole_or_streamed() {
    let mut host = Host::new();
    host.add_http_answer("https://a.example/", Reply::new(200).text("four"));
    let mut plugin = host.configure::<Client>("{}").unwrap();
    assert!(ask(&mut plugin, "/post", "https://a.example/").contains("too-large"));
    let streamed = ask(&mut plugin, "/stream", "https://a.example/");
    assert_eq!(streamed, "Ok(\"200 four\")");
    let [posted, put] = plugin.host().http_requests() else {
        panic!("two requests")
    };
    assert_eq!(posted.body, b"hi");
    assert_eq!(posted.header("content-type").as_deref(), Some("text/plain"));
    assert_eq!(
        (put.method.as_str(), put.body.as_slice()),
        ("PUT", b"one two".as_slice())
    );
}

#[test]
fn a_request_does_not_show_its_secrets() {
    let request = http::get("https://a.example/x?token=hunter2").header("authorization", "hunter2");
    assert!(!format!("{request:?}").contains("hunter2"));
}

#[derive(Deserialize)]
struct Verify {
    algorithms: Vec<Algorithm>,
}

#[plugin]
impl Plugin for Verify {
    fn on_request(&self, request: &mut Request) -> Action {
        let token = request.header("x-token").unwrap_or_else(|| vec![].into());
        let url = KeyUrl::new("https://issuer.example/")
            .refresh(MINUTE)
            .stale(MINUTE);
        let here = crypto::verify_jws(&token.text(), &Keys::pem("…"), &self.algorithms);
        let there = crypto::verify_jws_url(&token.text(), &url, &self.algorithms);
        assert_eq!(here, there);
        note(here.map(|jws| String::from_utf8(jws.payload).unwrap()));
        note(crypto::verify_password("$2b$known", "pass"));
        note(crypto::verify_password("$2b$known", "word"));
        note(crypto::verify_password("plain", "pass"));
        note(crypto::equal("a", "a") && !crypto::equal("a", "b"));
        Action::Proceed
    }
}

#[test]
fn tokens_and_passwords_are_what_the_test_says() {
    let mut host = Host::new();
    host.set_jws("a.b.c", r#"{"alg":"EdDSA"}"#, "{}");
    host.set_jws_error("away.b.c", JwsError::Unavailable);
    host.set_password("$2b$known", "pass");
    let mut plugin = host
        .configure::<Verify>(r#"{"algorithms": ["EdDSA"]}"#)
        .unwrap();
    for (token, answer) in [
        ("a.b.c", "Ok(\"{}\")"),
        ("away.b.c", "unavailable"),
        ("other.b.c", "signature"),
        ("a.b", "malformed"),
    ] {
        let lines = run(
            &mut plugin,
            &mut Exchange::get("/").header("x-token", token),
        );
        assert!(lines[0].contains(answer), "{lines:?}");
        assert_eq!(lines[1..3], ["Ok(true)", "Ok(false)"]);
        assert!(lines[3].contains("invalid-value"), "{lines:?}");
        assert_eq!(lines[4], "true");
    }

    let mut host = Host::new();
    host.set_jws("a.b.c", r#"{"alg":"HS256"}"#, "{}");
    let mut plugin = host
        .configure::<Verify>(r#"{"algorithms": ["RS256"]}"#)
        .unwrap();
    let lines = run(
        &mut plugin,
        &mut Exchange::get("/").header("x-token", "a.b.c"),
    );
    assert!(lines[0].contains("algorithm"), "{lines:?}");
}

#[test]
fn algorithms_are_written_as_in_a_token() {
    let config = r#"{"algorithms": ["RS256", "PS384", "ES256", "HS512", "EdDSA"]}"#;
    assert!(Instance::<Verify>::configure(config).is_ok());
    let errors = Instance::<Verify>::configure(r#"{"algorithms": ["none"]}"#).unwrap_err();
    assert_eq!(errors[0].path, "algorithms.0");
    assert_eq!(Algorithm::EdDsa.to_string(), "EdDSA");
    assert_eq!(Algorithm::Ps384.to_string(), "PS384");
}

#[derive(Deserialize)]
struct Digest {}

#[plugin]
impl Plugin for Digest {
    fn on_request(&self, _: &mut Request) -> Action {
        // FIPS 180-4, the examples for "abc".
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512] {
            let digest = crypto::digest(hash, "abc");
            note((digest.len(), digest[0]));
        }
        note(random::number());
        note(random::bytes(100_000).len());
        Action::Proceed
    }
}

#[test]
fn digests_are_real_and_random_numbers_have_a_seed() {
    let mut first = Instance::<Digest>::configure("{}").unwrap();
    let mut second = Instance::<Digest>::configure("{}").unwrap();
    let lines = get(&mut first, "/");
    assert_eq!(
        lines[..4],
        ["(20, 169)", "(32, 186)", "(48, 203)", "(64, 221)"]
    );
    assert_eq!(lines[5], "65536");
    assert_eq!(get(&mut second, "/"), lines);
    assert_ne!(get(&mut first, "/")[4], lines[4]);
    second.host().set_seed(7);
    assert_ne!(get(&mut second, "/")[4], lines[4]);
}
