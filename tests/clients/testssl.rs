//! testssl.sh, the witness for how others grade the default settings: nothing worse than a note about protocols,
//! suites, groups, certificates and what is known to be attacked.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, CrlDistributionPoint, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use serde_json::Value;
use tempfile::TempDir;

use super::listener;
use crate::harness::{Authority, ECHO, Issued, Proxy, run, tool};

/// Findings that are no fault of the proxy's, each with its reason.
const ACCEPTED: [(&str, &str); 3] = [
    (
        "cipher_order",
        "all suites are strong, so clients choose what their hardware is good at (as Mozilla advises); a list in \
         `cipher_suites` makes it the server's order",
    ),
    (
        "engine_problem",
        "about the machine that runs it: its OpenSSL has no GOST",
    ),
    (
        "sessionresumption_ticket",
        "a race of its client, lost against OpenSSL's own server too: `openssl s_client` without input leaves before \
         the tickets of TLS 1.3 have come, and is then resumed without one. tests/tls/tickets.rs shows resumption",
    ),
];

/// A certificate as public authorities issue it.
fn certificate(authority: &Authority) -> Issued {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let day = Duration::from_secs(24 * 60 * 60);
    params.not_before = date_time_ymd(1970, 1, 1) + now.unwrap() - day;
    params.not_after = params.not_before + 90 * day;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.crl_distribution_points = vec![CrlDistributionPoint {
        uris: vec!["http://crl.example/1.crl".to_owned()],
    }];
    authority.sign(&params, &KeyPair::generate().unwrap())
}

/// What testssl.sh finds at a proxy with the default settings; `None` where it is not installed.
async fn findings() -> Option<Vec<Value>> {
    let (program, timeout) = (tool("testssl")?, tool("timeout")?);
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
    certificate(&authority).write(folder.path(), "own");
    fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let proxy = Proxy::start_in(folder, &format!("{}{ECHO}", listener(""))).await;
    let port = proxy.address().rsplit(':').next().unwrap();
    // With all its processes, should it hang. It takes a minute.
    let mut testssl = Command::new(timeout);
    testssl
        .arg("300")
        .arg(program)
        .current_dir(proxy.folder())
        .args(["--quiet", "--color", "0", "--warnings", "off"])
        .args(["--nodns", "none", "--ip", "127.0.0.1"])
        .args(["--add-ca", "ca.pem", "--jsonfile", "findings.json"])
        // Protocols, suites, forward secrecy, preferences, certificate, vulnerabilities.
        .args(["-p", "-s", "-f", "-P", "-S", "-U"])
        .arg(format!("localhost:{port}"));
    let exit = run(testssl).await;
    let findings = fs::read(proxy.folder().join("findings.json")).unwrap_or_default();
    let findings = serde_json::from_slice(&findings);
    Some(findings.unwrap_or_else(|error| panic!("{error}: {}{}", exit.stdout, exit.stderr)))
}

fn field<'a>(finding: &'a Value, name: &str) -> &'a str {
    finding[name].as_str().unwrap()
}

/// The severity of the finding with this name.
fn severity<'a>(findings: &'a [Value], id: &str) -> Option<&'a str> {
    let finding = findings.iter().find(|finding| finding["id"] == id)?;
    Some(field(finding, "severity"))
}

#[tokio::test]
async fn nothing_is_worse_than_a_note() {
    let Some(findings) = findings().await else {
        return;
    };
    let accepted = |id| ACCEPTED.iter().any(|(accepted, _)| *accepted == id);
    let worse: Vec<&Value> = findings
        .iter()
        .filter(|finding| !["OK", "INFO"].contains(&field(finding, "severity")))
        .filter(|finding| !accepted(field(finding, "id")))
        .collect();
    assert!(worse.is_empty(), "{worse:#?}");
    // It has looked at the proxy, and not at nothing.
    for id in [
        "TLS1_3",
        "PFS",
        "cert_chain_of_trust",
        "secure_renego",
        "secure_client_renego",
        "ROBOT",
        "LUCKY13",
    ] {
        assert_eq!(severity(&findings, id), Some("OK"), "{id}: {findings:#?}");
    }
}
