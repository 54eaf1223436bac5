//! OpenSSL's `s_client`, the witness for handshakes: versions, suites and groups that are spoken and refused as
//! they are configured, and sessions that are resumed by somebody else's implementation. Stapled OCSP responses
//! are in `tls/ocsp.rs`.

use std::fs::File;
use std::process::{Command, Stdio};

use super::proxy;
use crate::harness::{Authority, ECHO, Proxy, run, tool};

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: app.example\r\nconnection: close\r\n\r\n";

/// All that `s_client` writes, when it is given this to send.
async fn s_client(proxy: &Proxy, arguments: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new(tool("openssl")?);
    let to_send = proxy.folder().join("input");
    std::fs::write(&to_send, input).unwrap();
    command
        .current_dir(proxy.folder())
        .args(["s_client", "-connect", proxy.address()])
        .args(["-servername", "app.example", "-CAfile", "ca.pem"])
        .args(arguments)
        .stdin(Stdio::from(File::open(to_send).unwrap()));
    let exit = run(command).await;
    Some(exit.stdout + &exit.stderr)
}

/// Shakes hands with these keys of the listener, and sees what is said of each attempt.
async fn says(keys: &str, attempts: &[(&str, &str)]) {
    let proxy = proxy(&Authority::new(), keys, ECHO).await;
    for (arguments, said) in attempts {
        let list: Vec<&str> = arguments.split_whitespace().collect();
        let Some(output) = s_client(&proxy, &list, "").await else {
            return;
        };
        assert!(output.contains(said), "{keys} {arguments}: {output}");
    }
}

#[tokio::test]
async fn the_defaults_are_what_is_safe() {
    let attempts = [
        ("-tls1_3 -alpn h2", "ALPN protocol: h2"),
        ("-tls1_2 -alpn http/1.1", "ALPN protocol: http/1.1"),
        ("-tls1_3", "Verify return code: 0 (ok)"),
        ("-tls1_2 -groups secp384r1", "Verify return code: 0 (ok)"),
        ("-groups X25519", "Temp Key: X25519"),
        ("-groups P-256", "Temp Key: ECDH, prime256v1"),
        ("-alpn h3", "no application protocol"),
        // RFC 8996.
        ("-tls1_1 -cipher DEFAULT@SECLEVEL=0", "alert"),
        ("-tls1_2 -cipher AES128-SHA", "alert"),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256", "alert"),
        ("-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256", "alert"),
        ("-groups X448", "alert"),
        ("-tls1_2 -comp", "Compression: NONE"),
    ];
    says("", &attempts).await;
}

#[tokio::test]
async fn what_is_not_configured_is_refused() {
    let attempts = [
        ("-tls1_2", "alert protocol version"),
        ("-tls1_3", "New, TLSv1.3"),
    ];
    says("tls.min_version = \"1.3\"", &attempts).await;
    let attempts = [
        ("-tls1_3", "alert protocol version"),
        ("-tls1_2", "New, TLSv1.2"),
    ];
    says("tls.max_version = \"1.2\"", &attempts).await;
    let attempts = [
        ("-groups X25519:P-256", "alert handshake failure"),
        ("-tls1_2 -groups X25519", "alert handshake failure"),
        // It is asked for where the client guessed another one (RFC 8446 §4.1.4).
        ("-groups X25519:P-384", "Temp Key: ECDH, secp384r1"),
    ];
    says("tls.key_exchange = [\"secp384r1\"]", &attempts).await;
    let suites = "tls.cipher_suites = [\"TLS_CHACHA20_POLY1305_SHA256\", \"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\"]";
    let attempts = [
        ("-tls1_3", "Cipher is TLS_CHACHA20_POLY1305_SHA256"),
        (
            "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256",
            "alert handshake failure",
        ),
        ("-tls1_2", "Cipher is ECDHE-ECDSA-AES256-GCM-SHA384"),
        (
            "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256",
            "alert handshake failure",
        ),
    ];
    says(suites, &attempts).await;
}

/// RFC 9325 §4.4 would have it refused or secured; it is refused.
#[tokio::test]
async fn nobody_renegotiates() {
    let proxy = proxy(&Authority::new(), "", ECHO).await;
    // A line with an `R` alone tells it to.
    let Some(output) = s_client(&proxy, &["-tls1_2"], "R\n").await else {
        return;
    };
    assert!(output.contains("RENEGOTIATING"), "{output}");
    assert!(output.contains("no renegotiation"), "{output}");
}

#[tokio::test]
async fn sessions_are_resumed() {
    let proxy = proxy(&Authority::new(), "", ECHO).await;
    for version in ["1.2", "1.3"] {
        let flag = format!("-tls{}", version.replace('.', "_"));
        let file = format!("session-{version}");
        let arguments = [&flag, "-ign_eof", "-sess_out", &file];
        let Some(output) = s_client(&proxy, &arguments, REQUEST).await else {
            return;
        };
        assert!(output.contains(&format!("New, TLSv{version}")), "{output}");
        assert!(output.contains("HTTP/1.1 200 OK"), "{output}");
        let arguments = [&flag, "-ign_eof", "-sess_in", &file];
        let output = s_client(&proxy, &arguments, REQUEST).await.unwrap();
        let reused = format!("Reused, TLSv{version}");
        assert!(output.contains(&reused), "{output}");
        assert!(output.contains("HTTP/1.1 200 OK"), "{output}");
        // Data before the end of the handshake is not taken.
        assert!(!output.contains("Early data was accepted"), "{output}");
        let series =
            format!("tidegate_tls_handshakes_total{{version=\"TLSv{version}\",resumed=\"true\"}}");
        proxy.metric_becomes(&series, 1.0).await;
    }
}
