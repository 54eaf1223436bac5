//! OCSP responses that are sent along.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::listener;
use crate::harness::{Authority, Proxy, run, tool, until};

const KEYS: &str = "certificates = [{ cert = \"a.pem\", key = \"a.key\", ocsp = \"a.ocsp\" }]";

async fn openssl(folder: &Path, arguments: &str) -> String {
    let mut command = Command::new(tool("openssl").unwrap());
    command.current_dir(folder).args(arguments.split(' '));
    let exit = run(command).await;
    assert!(exit.status.success(), "{arguments}: {}", exit.stderr);
    exit.stdout
}

/// Writes `FILE`, the authority's word for `CERT.pem`.
async fn respond(folder: &Path, authority: &Authority, cert: &str, file: &str, status: &str) {
    std::fs::write(folder.join("ca.pem"), &authority.pem).unwrap();
    std::fs::write(folder.join("ca.key"), &authority.key).unwrap();
    let serial = openssl(folder, &format!("x509 -in {cert}.pem -noout -serial")).await;
    let serial = serial.trim().strip_prefix("serial=").unwrap();
    let revoked = if status == "R" { "200101000000Z" } else { "" };
    let index = format!("{status}\t490101000000Z\t{revoked}\t{serial}\tunknown\t/CN=a\n");
    std::fs::write(folder.join("index"), index).unwrap();
    std::fs::write(folder.join("index.attr"), "").unwrap();
    let arguments = format!(
        "ocsp -index index -CA ca.pem -rsigner ca.pem -rkey ca.key -issuer ca.pem -cert {cert}.pem -ndays 1 -respout new.ocsp -noverify"
    );
    openssl(folder, &arguments).await;
    std::fs::rename(folder.join("new.ocsp"), folder.join(file)).unwrap();
}

/// What `openssl s_client` says of the response that comes with the handshake.
async fn stapled(proxy: &Proxy) -> bool {
    let mut command = Command::new(tool("openssl").unwrap());
    command
        .args([
            "s_client",
            "-connect",
            proxy.address(),
            "-servername",
            "a.example",
            "-status",
        ])
        .stdin(std::process::Stdio::null());
    let said = run(command).await.stdout;
    assert!(said.contains("OCSP response"), "{said}");
    let has = said.contains("Cert Status: good");
    assert!(has || said.contains("no response sent"), "{said}");
    has
}

#[tokio::test]
async fn a_response_is_sent_and_read_again_when_it_changes() {
    if tool("openssl").is_none() {
        return;
    }
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.issue(&["a.example"]).write(folder.path(), "a");
    authority.issue(&["b.example"]).write(folder.path(), "b");
    // It may come later.
    let proxy = Proxy::start_in(folder, &listener(KEYS)).await;
    let folder = proxy.folder();
    assert!(!stapled(&proxy).await);
    respond(folder, &authority, "a", "a.ocsp", "V").await;
    until("the response to be sent", async || {
        stapled(&proxy).await.then_some(())
    })
    .await;
    for (count, (cert, status, problem)) in
        [("b", "V", "another certificate"), ("a", "R", "revoked")]
            .into_iter()
            .enumerate()
    {
        respond(folder, &authority, cert, "a.ocsp", status).await;
        // The first is of the start, when there was no file.
        proxy
            .has_logged("the OCSP response is not sent", count + 2)
            .await;
        let line = proxy.log_line("a warning", |line| {
            line.says("the OCSP response is not sent")
        });
        let error = line.await.field("error").unwrap();
        assert!(error.contains(problem), "{error}");
        assert!(!stapled(&proxy).await);
    }
    std::fs::write(folder.join("a.ocsp"), "garbage").unwrap();
    proxy.has_logged("the OCSP response is not sent", 4).await;
    respond(folder, &authority, "a", "a.ocsp", "V").await;
    until("a good one to be sent again", async || {
        stapled(&proxy).await.then_some(())
    })
    .await;
}

/// The response, good until so many seconds from now: openssl knows minutes only. Nobody checks the signature here.
async fn shortened(folder: &Path, file: &str, seconds: u64) {
    let mut date = Command::new("date");
    date.args(["-u", "+%Y%m%d%H%M%SZ", "-d", &format!("{seconds} seconds")]);
    let until = run(date).await.stdout;
    let mut response = std::fs::read(folder.join(file)).unwrap();
    // `nextUpdate [0] EXPLICIT GeneralizedTime` (RFC 6960 §4.2.1).
    let head = [0xa0, 17, 0x18, 15];
    let place = response.windows(4).position(|bytes| bytes == head).unwrap();
    response[place + 4..place + 19].copy_from_slice(until.trim().as_bytes());
    std::fs::write(folder.join("new.ocsp"), response).unwrap();
    std::fs::rename(folder.join("new.ocsp"), folder.join(file)).unwrap();
}

#[tokio::test]
async fn a_response_that_becomes_too_old_is_not_sent_any_more() {
    if tool("openssl").is_none() {
        return;
    }
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let proxy = Proxy::start_in(folder, &listener(KEYS)).await;
    let folder = proxy.folder();
    respond(folder, &authority, "a", "a.ocsp", "V").await;
    let mut seconds = 2;
    until("a response to be sent that is about to end", async || {
        // Longer each time: a busy machine may see it only when it is over.
        seconds += 2;
        shortened(folder, "a.ocsp", seconds).await;
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            match (stapled(&proxy).await, Instant::now() < end) {
                (true, true) => return Some(()),
                (_, false) => return None,
                (false, true) => {}
            }
        }
    })
    .await;
    until("it to be too old", async || {
        (!stapled(&proxy).await).then_some(())
    })
    .await;
    proxy.has_logged("the OCSP response is too old", 1).await;
}
