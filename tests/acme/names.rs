//! Names that no certificate can be had for are said at their places.

use crate::harness::{ECHO, tidegate};

#[test]
fn a_check_says_which_names_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let definitions = folder.path().join("certdefs");
    std::fs::create_dir(&definitions).unwrap();
    std::fs::write(definitions.join("a"), "ok.example.org\n*.example.com\n").unwrap();
    let many: Vec<String> = (0..101).map(|n| format!("\"n{n}.example\"")).collect();
    let configuration = format!(
        r#"[[listener]]
address = "127.0.0.1:0"
[acme.le]
directory = "https://ca.internal/directory"
agree_to_terms = true
certificates = [["*.example.com"], [], ["ok.example", "192.0.2.1"], ["bücher.example"],
  ["XN--BCHER-KVA.example", "a"], [{}]]
[acme.dns]
directory = "https://ca.internal/directory"
agree_to_terms = true
challenge = "dns-01"
certificates = [["example.org", "badexample.org"]]
certdefs = "certdefs"
dns = {{ server = "127.0.0.1:53", zone = "example.org" }}
{ECHO}"#,
        many.join(", ")
    );
    let file = folder.path().join("tidegate.toml");
    std::fs::write(&file, configuration).unwrap();
    let checked = tidegate(&["check", "--config", &file.display().to_string()]);
    assert!(!checked.status.success());
    for said in [
        "toml:6:18: `*.example.com`: authorities give out wildcards for the challenge dns-01 only",
        "toml:6:36: a certificate needs a name",
        "toml:6:55: `192.0.2.1` is an address; certificates are ordered for names",
        "toml:7:3: two certificates with the main name `xn--bcher-kva.example`",
        "toml:7:35: a certificate cannot have more than 100 names",
        "toml:12:33: `badexample.org` is not in the zone `example.org`",
        "toml:13:12: `*.example.com` is not in the zone `example.org`",
    ] {
        assert!(checked.stderr.contains(said), "{said}\n{}", checked.stderr);
    }
    let count = checked.stderr.matches("toml:").count();
    assert_eq!(count, 7, "{}", checked.stderr);
}
