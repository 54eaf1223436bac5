//! What people reach for: openssl and curl.

use std::process::{Command, Stdio};

use super::proxy;
use crate::harness::{Authority, Proxy, run, tool};

async fn s_client(proxy: &Proxy, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(tool("openssl")?);
    command
        .args([
            "s_client",
            "-connect",
            proxy.address(),
            "-servername",
            "a.example",
        ])
        .arg("-CAfile")
        .arg(proxy.folder().join("ca.pem"))
        .args(arguments)
        .stdin(Stdio::null());
    let exit = run(command).await;
    Some(exit.stdout + &exit.stderr)
}

#[tokio::test]
async fn openssl_shakes_hands() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "").await;
    for (arguments, said) in [
        (&["-tls1_3", "-alpn", "h2"][..], "ALPN protocol: h2"),
        (&["-tls1_2", "-alpn", "http/1.1"], "ALPN protocol: http/1.1"),
        (&["-groups", "secp384r1"], "Verify return code: 0 (ok)"),
        (&["-alpn", "h3"], "no application protocol"),
        // RFC 8996.
        (&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], "alert"),
        (&["-tls1_2", "-cipher", "AES128-SHA"], "alert"),
    ] {
        let Some(output) = s_client(&proxy, arguments).await else {
            return;
        };
        assert!(output.contains(said), "{arguments:?}: {output}");
    }
}

#[tokio::test]
async fn curl_speaks_both_protocols_and_shows_certificates() {
    let authority = Authority::new();
    let proxy = proxy(
        &authority,
        "client_certificates = { ca = \"ca.pem\", required = false, forward = [\"subject\"] }",
    )
    .await;
    let Some(curl) = tool("curl") else { return };
    authority
        .issue_client("alice")
        .write(proxy.folder(), "alice");
    let port = proxy.address().rsplit(':').next().unwrap().to_owned();
    for (protocol, version) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2")] {
        let mut command = Command::new(&curl);
        command
            .current_dir(proxy.folder())
            .args(["-sS", "--noproxy", "*", "--cacert", "ca.pem", protocol])
            .args(["--cert", "alice.pem", "--key", "alice.key"])
            .args(["--resolve", &format!("a.example:{port}:127.0.0.1")])
            .arg(format!("https://a.example:{port}/"));
        let exit = run(command).await;
        assert!(exit.status.success(), "{}", exit.stderr);
        let echo: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
        assert_eq!(echo["version"], version);
        assert_eq!(echo["headers"]["x-client-cert-subject"][0], "CN=alice");
    }
}
