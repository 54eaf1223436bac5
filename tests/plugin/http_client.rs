//! Calls of other servers: whom a plugin may call, and what it learns when a call fails.

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Authority, Origin, Proxy, refusing_address, tidegate};

use super::calls::{call, call_on, calling, is, outcome, refused};
use super::support::{echo_route, folder, guest, memory, start};

/// A route through `ask`, which may call what this array of TOML says and has these other keys.
fn config(http: &str, keys: &str) -> String {
    format!(
        "
[plugins]
cache = \"off\"
deadline = \"2s\"
wait = \"15s\"

[plugin.ask]
allow = {{ http = {http} }}
{keys}
{}",
        echo_route("all", "/*", "[\"ask\"]")
    )
}

/// At a private address.
fn grant(origin: &str) -> String {
    format!("{{ origin = \"http://{origin}\", private = true }}")
}

fn private(origin: &str) -> String {
    format!("[{}]", grant(origin))
}

async fn allowed(origin: &Origin) -> Proxy {
    start(&["ask"], &config(&private(origin.address()), "")).await
}

fn send(url: impl Into<String>) -> Value {
    json!({ "send": { "url": url.into() } })
}

fn url(origin: &Origin) -> String {
    format!("http://{}/", origin.address())
}

async fn says(text: &'static str) -> Origin {
    Origin::answering(move |_| http::Response::new(Full::from(text))).await
}

#[tokio::test]
async fn an_allowed_origin_answers_and_others_are_never_asked() {
    let (granted, other) = (says("hello").await, says("secret").await);
    let proxy = allowed(&granted).await;
    assert_eq!(call(&proxy, &send(url(&granted))).await, is("200 hello"));
    let port = granted.address().rsplit(':').next().unwrap();
    for elsewhere in [
        url(&other),
        format!("http://localhost:{port}/"),
        format!("http://127.0.0.2:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
    ] {
        let answer = call(&proxy, &send(&elsewhere)).await;
        let not_called = [refused("forbidden"), refused("invalid-request")];
        // `127.1` is the granted address in another notation (WHATWG URL).
        let same = elsewhere.contains("127.1:") && answer == is("200 hello");
        assert!(
            same || not_called.contains(&answer),
            "{elsewhere}: {answer:?}"
        );
    }
    assert_eq!(other.accepted(), 0);
    let seen = granted.seen();
    assert_eq!(seen[0].header("host"), granted.address());
}

#[tokio::test]
async fn a_private_address_has_to_be_allowed_as_such() {
    let origin = says("hello").await;
    let port = origin.address().rsplit(':').next().unwrap();
    let name = format!("http://localhost:{port}");
    let public = start(&["ask"], &config(&format!("[{name:?}]"), "")).await;
    assert_eq!(
        call(&public, &send(format!("{name}/"))).await,
        refused("forbidden")
    );
    assert_eq!(origin.accepted(), 0);
    let private = format!("[{{ origin = {name:?}, private = true }}]");
    let private = start(&["ask"], &config(&private, "")).await;
    assert_eq!(
        call(&private, &send(format!("{name}/"))).await,
        is("200 hello")
    );
}

/// Either the file is refused, with a place, or the call.
#[tokio::test]
async fn an_address_of_this_machine_alone_is_not_enough() {
    let origin = says("hello").await;
    let config = config(&format!("[\"http://{}\"]", origin.address()), "");
    let folder = folder(&[("ask.wasm", guest("ask"))]);
    let file = folder.path().join("tidegate.toml");
    let listener = "\n[[listener]]\naddress = \"127.0.0.1:0\"\n";
    std::fs::write(&file, config.clone() + listener).unwrap();
    let exit = tidegate(&["check", "--config", file.to_str().unwrap()]);
    if exit.status.success() {
        let proxy = start(&["ask"], &config).await;
        assert_eq!(
            call(&proxy, &send(url(&origin))).await,
            refused("forbidden")
        );
    } else {
        assert!(exit.stderr.contains("tidegate.toml:8:"), "{}", exit.stderr);
        assert!(exit.stderr.contains("private"), "{}", exit.stderr);
    }
    assert_eq!(origin.accepted(), 0);
}

#[tokio::test]
async fn a_redirect_is_the_answer() {
    let origin = Origin::answering(|_| {
        let redirect = http::Response::builder().status(302);
        let redirect = redirect.header("location", "http://169.254.169.254/");
        redirect.body(Full::default()).unwrap()
    })
    .await;
    let proxy = allowed(&origin).await;
    let answer = call(&proxy, &send(url(&origin))).await;
    assert_eq!(answer, is("302 http://169.254.169.254/"));
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn a_call_that_fails_says_why() {
    let (slow, _gate) = Origin::held().await;
    let large = Origin::answering(|_| http::Response::new(Full::from(vec![b'x'; 2000]))).await;
    let nonsense = Origin::raw(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n\r\n").await;
    })
    .await;
    let nobody = refusing_address();
    let granted = [slow.address(), large.address(), nonsense.address(), &nobody].map(grant);
    let all = format!("[{}]", granted.join(", "));
    let proxy = start(&["ask"], &config(&all, "")).await;
    for (what, failure) in [
        (
            json!({ "send": { "url": url(&slow), "timeout": 200 } }),
            "timeout",
        ),
        (
            json!({ "send": { "url": url(&large), "limit": 1999 } }),
            "too-large",
        ),
        (send(url(&nonsense)), "protocol"),
        (send(format!("http://{nobody}/")), "unreachable"),
        (send("ftp://a.example/"), "invalid-request"),
        (send("nonsense"), "invalid-request"),
    ] {
        assert_eq!(call(&proxy, &what).await, refused(failure), "{what}");
    }
    let enough = json!({ "send": { "url": url(&large), "limit": 2000 } });
    assert_eq!(call(&proxy, &enough).await.unwrap().len(), 2004);
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let origin = says("hello").await;
    let proxy = start(
        &["ask"],
        &format!(
            "[server]\nthreads = 1\n{}",
            config(&private(origin.address()), "")
        ),
    )
    .await;
    for _ in 0..20 {
        assert_eq!(call(&proxy, &send(url(&origin))).await, is("200 hello"));
    }
    assert_eq!(origin.seen().len(), 20);
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn a_plugin_has_no_more_calls_open_than_it_may() {
    let (origin, gate) = Origin::held().await;
    let config = config(&private(origin.address()), "http_calls = 2");
    let proxy = start(&["ask"], &config).await;
    let mut waiting = JoinSet::new();
    for count in 1..=2 {
        let mut client = proxy.client().await;
        let request = calling("/", &send(url(&origin)));
        waiting.spawn(async move { outcome(&client.send(request).await) });
        origin.has_seen(count).await;
    }
    assert_eq!(
        call(&proxy, &send(url(&origin))).await,
        refused("limit-reached")
    );
    gate.add_permits(3);
    for answer in waiting.join_all().await {
        assert_eq!(answer, is("200 late"));
    }
    assert_eq!(call(&proxy, &send(url(&origin))).await, is("200 late"));
}

const STREAMED: usize = 8 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_streamed_in_constant_memory() {
    let whole = Bytes::from(vec![b'x'; STREAMED]);
    let source = Origin::answering(move |_| http::Response::new(Full::new(whole.clone()))).await;
    let target = Origin::answering(|seen| {
        http::Response::new(Full::from(format!("{} bytes", seen.body.len())))
    })
    .await;
    let both = [source.address(), target.address()].map(grant);
    // Much less than a body.
    let config = config(&format!("[{}]", both.join(", ")), "memory = \"2MiB\"");
    let proxy = start(&["ask"], &config).await;
    let copy = json!({ "copy": { "from": url(&source), "to": url(&target) } });
    let answer = is(&format!("200 {STREAMED} bytes"));
    assert_eq!(call(&proxy, &copy).await, answer);
    let before = memory(&proxy);
    for _ in 0..5 {
        assert_eq!(call(&proxy, &copy).await, answer);
    }
    let after = memory(&proxy);
    assert!(
        after < before + (STREAMED as u64),
        "{before} bytes, then {after}"
    );
}

#[tokio::test]
async fn a_certificate_counts_where_its_authority_was_named() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let origin = Origin::answering_tls(&right, |_| http::Response::new(Full::from("hello"))).await;
    let folder = folder(&[("ask.wasm", guest("ask"))]);
    std::fs::write(folder.path().join("right.pem"), &right.pem).unwrap();
    std::fs::write(folder.path().join("wrong.pem"), &wrong.pem).unwrap();
    let address = origin.address();
    let mut whole = config("[]", "");
    for (name, ca) in [
        ("right", ", ca = \"right.pem\""),
        ("wrong", ", ca = \"wrong.pem\""),
        ("usual", ""),
    ] {
        whole += &format!(
            "\n[plugin.{name}]\nfile = \"ask.wasm\"\nallow = {{ http = [{{ origin = \"https://{address}\", private = true{ca} }}] }}\n"
        );
        whole += &echo_route(name, &format!("/{name}"), &format!("[{name:?}]"));
    }
    // `ask` itself is used by nobody.
    let whole = whole.replace("plugins = [\"ask\"]", "plugins = []");
    let proxy = Proxy::start_in(folder, &whole).await;
    let asked = send(format!("https://{address}/"));
    for (path, answer) in [
        ("/right", is("200 hello")),
        ("/wrong", refused("tls")),
        ("/usual", refused("tls")),
        // A connection that somebody else trusts is not shared.
        ("/right", is("200 hello")),
        ("/usual", refused("tls")),
    ] {
        assert_eq!(call_on(&proxy, path, &asked).await, answer, "{path}");
    }
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_is_an_error_with_a_place() {
    let grant = "[{ origin = \"https://a.example\", ca = \"missing.pem\" }]";
    let folder = folder(&[("ask.wasm", guest("ask"))]);
    let file = folder.path().join("tidegate.toml");
    let listener = "\n[[listener]]\naddress = \"127.0.0.1:0\"\n";
    std::fs::write(&file, config(grant, "") + listener).unwrap();
    let exit = tidegate(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(exit.status.code(), Some(1));
    assert!(exit.stderr.contains("tidegate.toml:8:"), "{}", exit.stderr);
    assert!(exit.stderr.contains("missing.pem"), "{}", exit.stderr);
}
