//! A start that cannot succeed ends with 1 and says why, and nothing was served before.

use std::net::TcpListener;

use tempfile::TempDir;

use crate::harness::{ECHO, Exit, tidegate};

/// `tidegate run` with this file.
fn run(config: &str) -> Exit {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tidegate.toml");
    std::fs::write(&file, config).unwrap();
    tidegate(&["run", "--config", file.to_str().unwrap()])
}

fn fails(config: &str, said: &[&str]) {
    let exit = run(config);
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    for part in said {
        assert!(
            exit.stderr.contains(part),
            "`{part}` is missing: {}",
            exit.stderr
        );
    }
    assert!(!exit.stderr.contains("panicked"), "{}", exit.stderr);
}

#[test]
fn an_address_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    fails(
        &format!("[admin]\naddress = \"off\"\n[[listener]]\naddress = \"{address}\"\n{ECHO}"),
        &[&address.to_string(), "in use"],
    );
}

#[test]
fn an_admin_address_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    fails(
        &format!(
            "[admin]\naddress = \"{address}\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n{ECHO}"
        ),
        &[&address.to_string(), "in use", "admin"],
    );
}

#[test]
fn an_address_of_another_machine() {
    fails(
        &format!("[admin]\naddress = \"off\"\n[[listener]]\naddress = \"192.0.2.1:80\"\n{ECHO}")
            .replace("192.0.2.1", "198.51.100.1"),
        &["198.51.100.1:80"],
    );
}

#[test]
fn a_mistake_in_the_file() {
    fails(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\n[[route]]\nrespnd = {}\n",
        &[
            "tidegate.toml:5:1: ",
            "unknown key `respnd`",
            "did you mean `respond`?",
        ],
    );
}

#[test]
fn a_mistake_in_a_pattern() {
    fails(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\n[[route]]\nmatch = { path = \"~(\" }\nrespond = {}\n",
        &["tidegate.toml:5:18: ", "unclosed group"],
    );
}

#[test]
fn a_plugin_that_is_missing() {
    fails(
        "[admin]\naddress = \"off\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\n[[route]]\nplugins = [\"nothing\"]\nrespond = {}\n",
        &["tidegate.toml:7:12: ", "nothing.wasm"],
    );
}

#[test]
fn a_peer_whose_name_does_not_exist() {
    fails(
        "[admin]\naddress = \"off\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\n\
         [upstream.app]\npeers = [\"nobody.invalid:80\"]\n[[route]]\nupstream = \"app\"\n",
        &["tidegate.toml:7:10: ", "nobody.invalid"],
    );
}

#[test]
fn a_file_that_is_missing() {
    let exit = tidegate(&["run", "--config", "/nowhere/tidegate.toml"]);
    assert_eq!(exit.status.code(), Some(1));
    assert!(
        exit.stderr.contains("/nowhere/tidegate.toml"),
        "{}",
        exit.stderr
    );
}
