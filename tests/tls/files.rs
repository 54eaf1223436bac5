//! Certificates whose files change.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::{ONE, listener, proxy};
use crate::harness::{Authority, Issued, Proxy, TlsClient, tidegate, tidegate_in_time, until};

const NAMES: [&str; 1] = ["a.example"];

/// By a full handshake: one that is resumed shows no certificate.
async fn seen(client: &TlsClient, proxy: &Proxy) -> CertificateDer<'static> {
    let client = client.clone().with_own_tickets();
    let stream = client.connect(proxy.address()).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

async fn becomes(client: &TlsClient, proxy: &Proxy, certificate: &Issued) {
    until("the new certificate to be served", async || {
        (seen(client, proxy).await == certificate.der()).then_some(())
    })
    .await;
}

fn client(authority: &Authority) -> TlsClient {
    TlsClient::new(authority, "a.example").offering(&["http/1.1"])
}

#[tokio::test]
async fn a_new_pair_is_served_while_old_connections_go_on() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "").await;
    let client = client(&authority);
    let mut open = client.connect(proxy.address()).await.unwrap();
    for _ in 0..2 {
        let new = authority.issue(&NAMES);
        new.write(proxy.folder(), "a");
        becomes(&client, &proxy, &new).await;
    }
    open.write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await
        .unwrap();
    let mut status = [0; 12];
    open.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    assert!(
        proxy
            .metric("tidegate_certificate_loads_total{kind=\"certificate\",result=\"ok\"}")
            .await
            >= 3.0
    );
    assert_eq!(proxy.log_count("reloaded"), 0);
}

#[tokio::test]
async fn halves_that_do_not_match_wait_for_each_other() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "").await;
    let client = client(&authority);
    let old = seen(&client, &proxy).await;
    let new = authority.issue(&NAMES);
    std::fs::write(proxy.folder().join("a.pem"), &new.cert).unwrap();
    let line = proxy
        .log_line("an error", |line| {
            line.says("the certificate cannot be replaced")
        })
        .await;
    let error = line.field("error").unwrap();
    assert!(
        error.contains("a.key") && error.contains("does not belong"),
        "{error}"
    );
    proxy
        .metric_becomes(
            "tidegate_certificate_loads_total{kind=\"certificate\",result=\"failed\"}",
            1.0,
        )
        .await;
    assert_eq!(seen(&client, &proxy).await, old);
    std::fs::write(proxy.folder().join("a.key"), &new.key).unwrap();
    becomes(&client, &proxy, &new).await;
}

#[tokio::test]
async fn what_is_no_certificate_replaces_nothing() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "").await;
    let client = client(&authority);
    let old = seen(&client, &proxy).await;
    let (cert, key) = (proxy.folder().join("a.pem"), proxy.folder().join("a.key"));
    let error = async |count| {
        proxy
            .has_logged("the certificate cannot be replaced", count)
            .await;
        let line = proxy.log_line("an error", |line| {
            line.says("the certificate cannot be replaced")
        });
        line.await.field("error").unwrap()
    };
    std::fs::write(&cert, "garbage").unwrap();
    assert!(error(1).await.contains("there is no certificate"));
    std::fs::remove_file(&cert).unwrap();
    assert!(error(2).await.contains("No such file"));
    let new = authority.issue(&NAMES);
    std::fs::write(&cert, &new.cert).unwrap();
    std::fs::write(
        &key,
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    assert!(error(3).await.contains("the key cannot be used"));
    assert!(!proxy.written().contains("c2VjcmV0"));
    assert_eq!(seen(&client, &proxy).await, old);
    // A reload of the configuration does not bring it in either.
    proxy
        .reload(&format!("{}\n# changed", listener(&format!("{ONE}\n"))))
        .await;
    assert_eq!(seen(&client, &proxy).await, old);
    new.write(proxy.folder(), "a");
    becomes(&client, &proxy, &new).await;
}

/// As certbot and Kubernetes do it: the name leads to another file.
#[tokio::test]
async fn symlinks_may_turn_elsewhere() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    let (one, two) = (authority.issue(&NAMES), authority.issue(&NAMES));
    for (name, pair) in [("one", &one), ("two", &two)] {
        let version = folder.path().join(name);
        std::fs::create_dir(&version).unwrap();
        pair.write(&version, "a");
    }
    let current = folder.path().join("current");
    std::os::unix::fs::symlink("one", &current).unwrap();
    let keys = "certificates = [{ cert = \"current/a.pem\", key = \"current/a.key\" }]";
    let proxy = Proxy::start_in(folder, &listener(keys)).await;
    let client = client(&authority);
    assert_eq!(seen(&client, &proxy).await, one.der());
    let next = proxy.folder().join("next");
    std::os::unix::fs::symlink("two", &next).unwrap();
    std::fs::rename(&next, proxy.folder().join("current")).unwrap();
    becomes(&client, &proxy, &two).await;
}

#[tokio::test]
async fn certificates_come_and_go_with_the_configuration() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    let (a, b) = (
        authority.issue(&["a.example", "127.0.0.1"]),
        authority.issue(&["b.example"]),
    );
    a.write(folder.path(), "a");
    b.write(folder.path(), "b");
    let proxy = Proxy::start_in(folder, &listener(ONE)).await;
    let client = client(&authority);
    assert!(
        client
            .named("b.example")
            .connect(proxy.address())
            .await
            .is_err()
    );
    let two = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }, { cert = \"b.pem\", key = \"b.key\" }]";
    proxy.reload(&listener(two)).await;
    assert_eq!(seen(&client.named("b.example"), &proxy).await, b.der());
    let wrong = "certificates = [{ cert = \"a.pem\", key = \"b.key\" }]";
    let error = proxy.reload_refused(&listener(wrong)).await;
    assert!(error.contains("does not belong"), "{error}");
    assert_eq!(seen(&client.named("b.example"), &proxy).await, b.der());
    proxy.reload(&listener(ONE)).await;
    assert!(
        client
            .named("b.example")
            .connect(proxy.address())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_check_finds_files_that_are_wrong_and_says_where() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new();
    authority.issue(&NAMES).write(folder.path(), "a");
    authority.issue(&NAMES).write(folder.path(), "b");
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    let path = folder.path().join("tidegate.toml");
    for (keys, problem) in [
        (
            "certificates = [{ cert = \"a.pem\", key = \"b.key\" }]",
            "does not belong",
        ),
        (
            "certificates = [{ cert = \"a.pem\", key = \"no.key\" }]",
            "no.key: No such file",
        ),
        (
            "certificates = [{ cert = \"a.key\", key = \"a.key\" }]",
            "no certificate",
        ),
        (
            "certificates = [{ cert = \"a.pem\", key = \"a.pem\" }]",
            "no private key",
        ),
        (
            "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]\nclient_certificates = { ca = \"empty.pem\" }",
            "no certificate",
        ),
    ] {
        std::fs::write(&path, listener(keys)).unwrap();
        let exit = tidegate(&["check", "--config", path.to_str().unwrap()]);
        assert_eq!(exit.status.code(), Some(1), "{keys}");
        assert!(exit.stderr.contains(problem), "{keys}: {}", exit.stderr);
        assert!(exit.stderr.contains("tidegate.toml:"), "{}", exit.stderr);
    }
}

/// Writes what to read would never end, or fill the memory: `pipe`, that nobody writes to, and `huge`.
fn write_traps(folder: &Path) {
    let made = Command::new("mkfifo").arg(folder.join("pipe")).status();
    assert!(made.unwrap().success());
    let huge = std::fs::File::create(folder.join("huge")).unwrap();
    huge.set_len(64 << 20).unwrap();
}

/// What a configuration may name, with `FILE` for the file.
const PLACES: [&str; 5] = [
    "certificates = [{ cert = \"FILE\", key = \"a.key\" }]",
    "certificates = [{ cert = \"a.pem\", key = \"FILE\" }]",
    "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]\nclient_certificates = { ca = \"FILE\" }",
    "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]
[upstream.b]
peers = [\"127.0.0.1:1\"]
tls = { ca = \"FILE\" }",
    "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]
[upstream.b]
peers = [\"127.0.0.1:1\"]
tls = { certificate = { cert = \"FILE\", key = \"a.key\" } }",
];

/// Names of traps and what is said of them.
const TRAPS: [(&str, &str); 2] = [("pipe", "not a regular file"), ("huge", "larger than 1MiB")];

#[test]
fn neither_a_check_nor_a_start_waits_for_a_pipe_or_reads_without_end() {
    let folder = TempDir::new().unwrap();
    Authority::new().issue(&NAMES).write(folder.path(), "a");
    write_traps(folder.path());
    let path = folder.path().join("tidegate.toml");
    for keys in PLACES {
        for (file, problem) in TRAPS {
            let off = "[admin]\naddress = \"off\"\n";
            let config = off.to_owned() + &listener(&keys.replace("FILE", file));
            std::fs::write(&path, config).unwrap();
            for verb in ["check", "run"] {
                let exit = tidegate_in_time(&[verb, "--config", path.to_str().unwrap()]);
                assert_eq!(exit.status.code(), Some(1), "{verb} {keys} {file}");
                let said = exit.stderr;
                assert!(said.contains(file) && said.contains(problem), "{said}");
                assert!(said.contains("tidegate.toml:"), "{said}");
            }
        }
    }
    for (file, problem) in [("pipe", "not a regular file"), ("huge", "larger than")] {
        let file = folder.path().join(file);
        let exit = tidegate_in_time(&["check", "--config", file.to_str().unwrap()]);
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.stderr.contains(problem), "{exit:?}");
    }
}

#[tokio::test]
async fn nor_does_a_proxy_that_runs() {
    let authority = Authority::new();
    let mut proxy = proxy(&authority, "").await;
    let client = client(&authority);
    let old = seen(&client, &proxy).await;
    write_traps(proxy.folder());
    for keys in PLACES {
        for (file, problem) in TRAPS {
            let config = listener(&keys.replace("FILE", file));
            let error = proxy.reload_refused(&config).await;
            assert!(error.contains(file) && error.contains(problem), "{error}");
        }
    }
    // One that was a file becomes a trap.
    for (count, (file, problem)) in TRAPS.into_iter().enumerate() {
        let folder = proxy.folder();
        std::fs::rename(folder.join(file), folder.join("a.pem")).unwrap();
        let message = "the certificate cannot be replaced";
        proxy.has_logged(message, count + 1).await;
        let line = proxy.log_line("an error", |line| line.says(message)).await;
        let error = line.field("error").unwrap();
        assert!(
            error.contains("a.pem") && error.contains(problem),
            "{error}"
        );
        assert_eq!(seen(&client, &proxy).await, old);
    }
    let new = authority.issue(&NAMES);
    new.write(proxy.folder(), "a");
    becomes(&client, &proxy, &new).await;
    proxy.signal("-TERM");
    assert!(proxy.wait().await.success());
}

/// As when a configuration and its certificate are rolled out one after the other.
#[tokio::test]
async fn a_configuration_that_was_refused_is_tried_again() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "").await;
    let both = ONE.replace(" }]", " }, { cert = \"late.pem\", key = \"late.key\" }]");
    let why = proxy.reload_refused(&listener(&both)).await;
    assert!(why.contains("late.pem"), "{why}");
    let late = authority.issue(&["late.example"]);
    late.write(proxy.folder(), "late");
    proxy.has_logged("reloaded", 1).await;
    let client = TlsClient::new(&authority, "late.example").offering(&["http/1.1"]);
    becomes(&client, &proxy, &late).await;
    // Once, not at each try.
    assert_eq!(proxy.log_count("reload failed"), 1);
}

#[test]
fn check_warns_of_what_clients_will_not_accept() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    authority.issue_client("nameless").write(folder.path(), "a");
    let file = folder.path().join("tidegate.toml");
    let keys = format!("{ONE}\nsni.\"admin.exmaple.com\" = {{ min_version = \"1.3\" }}");
    std::fs::write(&file, listener(&keys)).unwrap();
    let checked = tidegate(&["check", "--config", file.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", checked.stderr);
    for part in [
        "is for no name",
        "subjectAltName",
        "`admin.exmaple.com`",
        "misspelt",
    ] {
        assert!(checked.stderr.contains(part), "{}", checked.stderr);
    }
}

#[tokio::test]
async fn authorities_that_are_not_named_any_more_may_go() {
    let authority = Authority::new();
    let keys = "client_certificates = { ca = \"ca.pem\", required = false }";
    let proxy = proxy(&authority, keys).await;
    proxy.reload(&listener(ONE)).await;
    std::fs::remove_file(proxy.folder().join("ca.pem")).unwrap();
    let client = client(&authority);
    // Each is a look at all files; what is wrong is told at the second.
    for _ in 0..3 {
        let new = authority.issue(&NAMES);
        new.write(proxy.folder(), "a");
        becomes(&client, &proxy, &new).await;
    }
    let failed = "tidegate_certificate_loads_total{kind=\"authority\",result=\"failed\"}";
    assert_eq!(proxy.metric(failed).await, 0.0);
}
