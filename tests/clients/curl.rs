//! curl, what people try first: the witness for what one client can do with one request. Without TLS here, with
//! TLS in `curl_tls.rs`.

use std::process::Command;

use tempfile::TempDir;

use crate::harness::{ECHO, Proxy, run, skipped, tool};

/// curl, for one invocation with a deadline; `None` where it is not installed.
pub(super) fn command() -> Option<Command> {
    let mut command = Command::new(tool("curl")?);
    command.args(["--silent", "--show-error", "--noproxy", "*"]);
    command.args(["--max-time", "20"]);
    Some(command)
}

/// What curl writes with these arguments; `None` where it is not installed.
async fn curl(arguments: &[&str]) -> Option<String> {
    let mut command = command()?;
    command.args(arguments);
    let exit = run(command).await;
    assert!(exit.status.success(), "{arguments:?}: {}", exit.stderr);
    Some(exit.stdout)
}

async fn speaks_http_2() -> bool {
    let version = curl(&["--version"]).await.unwrap_or_default();
    let speaks = version.contains("HTTP2");
    if !speaks {
        skipped("curl does not speak HTTP/2");
    }
    speaks
}

#[tokio::test]
async fn http_1() {
    let proxy = Proxy::start(ECHO).await;
    let url = proxy.url("/x?y=z");
    let Some(answer) = curl(&["-i", "-d", "hello", &url]).await else {
        return;
    };
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"body\": \"hello\""), "{answer}");
}

#[tokio::test]
async fn http_2_with_prior_knowledge() {
    if !speaks_http_2().await {
        return;
    }
    let proxy = Proxy::start(ECHO).await;
    let url = proxy.url("/x");
    let answer = curl(&["-i", "--http2-prior-knowledge", "-d", "hello", &url])
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/2 200"), "{answer}");
    assert!(answer.contains("\"version\": \"HTTP/2\""), "{answer}");
    assert!(answer.contains("\"body\": \"hello\""), "{answer}");
}

#[tokio::test]
async fn an_offer_to_upgrade_to_http_2_is_passed_over() {
    if !speaks_http_2().await {
        return;
    }
    let proxy = Proxy::start(ECHO).await;
    let answer = curl(&["-i", "--http2", &proxy.url("/x")]).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_large_upload_asks_first() {
    let proxy = Proxy::start(ECHO).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("large");
    std::fs::write(&file, vec![b'x'; 3 << 20]).unwrap();
    let file = format!("@{}", file.display());
    let url = proxy.url("/");
    for more in [
        &[][..],
        &["-H", "transfer-encoding: chunked"],
        &["-H", "expect: 100-continue"],
    ] {
        let arguments = [&["--data-binary", &file, &url], more].concat();
        let Some(answer) = curl(&arguments).await else {
            return;
        };
        assert!(
            answer.contains("\"body_bytes\": 3145728"),
            "{more:?}: {answer:.500}"
        );
    }
}

#[tokio::test]
async fn a_unix_socket() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("web.sock").display().to_string();
    let config = format!("[[listener]]\nname = \"web\"\naddress = \"unix:{socket}\"\n{ECHO}");
    let _proxy = Proxy::start_in(folder, &config).await;
    let Some(answer) = curl(&["--unix-socket", &socket, "http://a/x"]).await else {
        return;
    };
    assert!(answer.contains("\"host\": \"a\""), "{answer}");
}

#[tokio::test]
async fn path_as_it_is() {
    let proxy = Proxy::start(ECHO).await;
    let url = proxy.url("/a/../b/%2e/c");
    let Some(answer) = curl(&["--path-as-is", &url]).await else {
        return;
    };
    assert!(answer.contains("\"path\": \"/b/c\""), "{answer}");
}
